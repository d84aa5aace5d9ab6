//! A connection that waits: for a cutover, for this node to catch up, or for standbys to have what its replies tell.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::super::connection::Connection;
use super::super::dispatch;
use super::super::ended::Ended;
use super::super::error::CommandError;
use super::super::keyspace::Backend;
use super::super::reply::Reply;
use super::super::shared::Stats;
use super::super::stream_in;
use super::acks::{AckGate, Due, Met, Need, Stint, needs};
use super::seam::AckLevel;

/// A gate that is shut opens, or the picture says why, within a few flushes: looked at again after this long.
const SHUT_PAUSE: Duration = Duration::from_millis(2);
/// A standby's commits arrive without a word to the front door: looked for again after this long.
const BEHIND_PAUSE: Duration = Duration::from_millis(1);
/// Longest wait for a standby to catch up with a token.
const BEHIND_MAX: Duration = Duration::from_secs(5);

impl<B: Backend> Connection<B> {
    /// Takes note of who serves what, for the commands of one turn.
    pub(in super::super) fn look_at_picture(&mut self) {
        let Self { pictures, session, .. } = self;
        let part = &mut session.cluster;
        if let Some(pictures) = pictures {
            part.picture.clone_from(&pictures.borrow_and_update());
        }
        part.is_kept = part.picture.is_some() || part.wanted.is_some() || session.shared.options.ack != AckLevel::Local;
    }

    /// Waits for the next command's slot. The replies before it leave first: their commands are done.
    pub(in super::super) async fn park(&mut self, is_shut: bool) -> Result<(), Ended> {
        self.write().await?;
        if let Some(error) = self.wait_for_picture(is_shut).await {
            self.refuse_next(&error);
        }
        Ok(())
    }

    /// Waits for the picture to change, or for a moment when only a gate is shut; says why there is to be no further waiting.
    pub(in super::super) async fn wait_for_picture(&mut self, is_shut: bool) -> Option<CommandError> {
        let park_max = self.shared.options.park_max;
        let waited = self.waiting_since.get_or_insert_with(Instant::now).elapsed();
        let Some(left) = park_max.checked_sub(waited).filter(|left| !left.is_zero()) else {
            return Some(CommandError::ParkedTooLong(waited));
        };
        let Some(_place) = self.shared.parking.enter(self.buffer.len()) else {
            return Some(CommandError::TryAgain("Too many requests wait for slots that change hands"));
        };
        let pause = if is_shut { left.min(SHUT_PAUSE) } else { left };
        match &mut self.pictures {
            // An end of the time, or of the pictures, is found by the next look.
            Some(pictures) if pictures.has_changed().is_ok() => drop(timeout(pause, pictures.changed()).await),
            _ => sleep(left.min(SHUT_PAUSE)).await,
        }
        None
    }

    /// Waits a moment for this node to catch up with the connection's token.
    pub(in super::super) async fn catch_up(&mut self) -> Result<(), Ended> {
        self.write().await?;
        let waited = self.waiting_since.get_or_insert_with(Instant::now).elapsed();
        if waited >= BEHIND_MAX {
            self.refuse_next(&CommandError::Behind(waited));
        } else {
            sleep(BEHIND_PAUSE).await;
        }
        Ok(())
    }

    /// The command that waited was let in, or given up.
    fn refuse_next(&mut self, error: &CommandError) {
        dispatch::refuse(&self.session, error, &mut self.out);
        self.waiting_since = None;
        self.next += 1;
        Stats::add(&self.shared.stats.commands, 1);
        if !self.session.arrived.is_empty() {
            stream_in::close_all(&mut self.session, &mut self.backend.begin(true));
        }
    }

    /// Waits until standbys have what the replies of the output tell; those that they do not have in time, and those of which that is not to
    /// be known any more, become errors.
    pub(in super::super) async fn settle_dues(&mut self) {
        let dues = std::mem::take(&mut self.session.cluster.dues);
        let Some(gate) = self.shared.acks.clone() else { return };
        let needs = needs(&dues);
        let slowed = |(of, need): (&Stint, &Need)| if need.is_write { gate.slowed_per_mille(of.fragment) } else { 0 };
        let rest = self.session.cluster.pace.rest(Instant::now(), needs.iter().map(slowed).max().unwrap_or(0));
        if !rest.is_zero() {
            sleep(rest).await;
        }
        if needs.iter().all(|(of, need)| gate.is_met(*of, *need) == Met::Yes) {
            return;
        }
        let all = async {
            for (of, need) in &needs {
                gate.meet(*of, *need).await;
            }
        };
        let is_late = timeout(gate.timeout, all).await.is_err();
        if is_late || needs.iter().any(|(of, need)| gate.is_met(*of, *need) != Met::Yes) {
            self.refuse_unmet(&gate, &dues);
        }
    }

    fn refuse_unmet(&mut self, gate: &Arc<AckGate>, dues: &[Due]) {
        let late = CommandError::NotAcked(gate.timeout);
        let old = std::mem::take(&mut self.out);
        let (mut at, mut count) = (0, 0);
        for due in dues {
            let error = match gate.is_met(due.of, due.need) {
                Met::Yes => continue,
                Met::NotYet => &late,
                Met::Unknown => &CommandError::TakenOver,
            };
            if due.start < at {
                continue; // another fragment of the same command
            }
            self.out.extend_from_slice(&old[at..due.start]);
            let start = self.out.len();
            Reply::new(&mut self.out, self.session.protocol).error(&error.to_string());
            self.session.splices.replaced(start, start + due.end - due.start, self.out.len());
            at = due.end;
            count += 1;
        }
        self.out.extend_from_slice(&old[at..]);
        self.shared.stats.errors.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
        let peer = self.session.facts.peer();
        tracing::warn!(code = "resp.not_acked", replies = count, %peer, "standbys did not acknowledge in time, or others took over");
    }
}
