//! Drives the target's machine over one connection: messages and answers in, actions out. Decides nothing.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use limosa_core::{FragmentId, Scope};
use limosa_engine::Target;
use limosa_engine::target::{Action, Config, Event, Job, Phase};
use limosa_wire::{Message, Method, Purpose, WIRE_VERSIONS, features};

use super::follows::{Command, Wanted};
use super::jobs::JobThread;
use super::link::Link;
use super::node::Shared;
use super::registry::{PeerHandle, PeerRole, TransferKind, TransferRecord};
use super::repairing::Repairing;
use super::session_end::SessionEnd;
use super::session_table::{Row, SessionHandle, Side};
use super::target_jobs::{Answer, TargetJobs};
use crate::transport::{Connection, Counters, Stage};
use tokio::sync::{mpsc, oneshot};

/// How often a session tells how far it is.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// What the session of a member of a cluster is about.
pub(super) struct Scoped {
    /// Which fragments.
    pub(super) scope: Scope,
    /// What for.
    pub(super) purpose: Purpose,
    /// The epochs that may be taken over.
    pub(super) wanted: Wanted,
}

/// Work of the session's thread.
enum Work {
    Job(Box<Job>),
    /// Everything queued before it has been carried out.
    Reached(oneshot::Sender<()>),
}

/// One connection to the owner, until it ends.
pub(super) struct TargetSession {
    shared: Arc<Shared>,
    target: Target,
    link: Link,
    jobs: JobThread<Work, Answer>,
    counters: Arc<Counters>,
    owner: String,
    session: u64,
    connected: Instant,
    consistent: bool,
    method: Method,
    why: String,
    repairing: Repairing,
    /// In a cluster: the epochs that may be taken over.
    wanted: Option<Wanted>,
    /// The first word about live commits has been looked at.
    is_under_way: bool,
    row: SessionHandle,
    /// Who waits for fragments that left with the session itself.
    leaving: Vec<oneshot::Sender<()>>,
}

impl TargetSession {
    pub(super) fn new(shared: Arc<Shared>, connection: Connection, peer: &PeerHandle) -> Self {
        Self::about(shared, connection, peer, Scope::All, Purpose::Follow, None)
    }

    /// A session of a member of a cluster.
    pub(super) fn scoped(shared: Arc<Shared>, connection: Connection, peer: &PeerHandle, scoped: Scoped) -> Self {
        Self::about(shared, connection, peer, scoped.scope, scoped.purpose, Some(scoped.wanted))
    }

    fn about(
        shared: Arc<Shared>,
        connection: Connection,
        peer: &PeerHandle,
        scope: Scope,
        purpose: Purpose,
        wanted: Option<Wanted>,
    ) -> Self {
        let row = shared.sessions.open(connection.peer_name().clone(), Side::Target, scope.clone());
        let owner = connection.peer_name().as_str().to_owned();
        let counters = connection.counters();
        peer.connected(&owner, 0, counters.clone());
        let target = Target::new(Config {
            cluster: shared.cluster(),
            node: shared.options.node.clone(),
            incarnation: shared.store.incarnation(),
            space_keys: shared.options.space_keys.id(),
            wire_versions: WIRE_VERSIONS,
            features: features::ALL,
            credit_window: shared.options.credit_window,
            scope,
            purpose,
            stage: shared.random().unwrap_or_default(),
        });
        let mut carrier = TargetJobs::new(shared.store.clone(), shared.published.clone(), counters.clone());
        let clocks = counters.clone();
        let jobs = JobThread::spawn("limosa-target", move |work, answers| match work {
            Work::Job(job) => clocks.cpu().measure(Stage::State, || carrier.carry_out(&job, answers)),
            Work::Reached(gone) => drop(gone.send(())), // whoever waited has gone
        });
        let repairing = Repairing::new(shared.clone(), owner.clone(), PeerRole::Owner);
        Self {
            shared,
            target,
            link: Link::new(connection),
            jobs,
            counters,
            owner,
            session: 0,
            connected: Instant::now(),
            consistent: false,
            method: Method::Nothing,
            why: String::new(),
            repairing,
            wanted,
            is_under_way: false,
            row,
            leaving: Vec::new(),
        }
    }

    /// Until the connection, the peer or this node ends the session. True beside the end when the ends agreed once.
    pub(super) async fn run(self, peer: &PeerHandle) -> (SessionEnd, bool) {
        self.run_with(peer, None).await
    }

    /// As [`TargetSession::run`], with what the driver wants of it meanwhile. When it returns, nothing of it is applied any more.
    pub(super) async fn run_with(
        mut self,
        peer: &PeerHandle,
        commands: Option<&mut mpsc::UnboundedReceiver<Command>>,
    ) -> (SessionEnd, bool) {
        let end = self.drive(peer, commands).await;
        if !self.consistent {
            self.record(peer, Some((end.code(), end.to_string())));
        }
        peer.disconnected(end.blocks().then(|| end.to_string()));
        if let Some(close) = end.to_close() {
            self.link.send(Message::Close(close));
        }
        let consistent = self.consistent;
        let Self { link, jobs, leaving, row, .. } = self;
        // Order: the last job has ended before anybody hears that the session has, or that fragments have left it.
        jobs.finish().await;
        drop((leaving, row));
        link.close().await;
        (end, consistent)
    }

    async fn drive(&mut self, peer: &PeerHandle, mut commands: Option<&mut mpsc::UnboundedReceiver<Command>>) -> SessionEnd {
        let mut reset = self.shared.reset.subscribe();
        let mut role = self.shared.role.subscribe();
        role.mark_unchanged();
        let mut tick = tokio::time::interval(REPORT_EVERY);
        loop {
            if let Err(end) = self.act(peer) {
                return end;
            }
            self.repairing.act(&self.link);
            let event = tokio::select! {
                message = self.link.receive() => match message {
                    Ok(message) if Repairing::takes(&message) => match self.repairing.handle(message) {
                        Ok(()) => continue,
                        Err(end) => return end,
                    },
                    Ok(message) => {
                        if let Err(end) = self.check_epochs(&message) {
                            return end;
                        }
                        self.note(&message, peer);
                        Event::Message(message)
                    }
                    Err(error) => return error.into(),
                },
                command = next(&mut commands) => match command {
                    Some(Command::Leave(fragments, gone)) => match self.leave(fragments, gone, peer) {
                        Ok(()) => continue,
                        Err(end) => return end,
                    },
                    Some(Command::End(gone)) => {
                        self.leaving.push(gone); // told when the last job has ended
                        return SessionEnd::Reframed;
                    }
                    None => return SessionEnd::RoleChanged,
                },
                answer = self.jobs.answer() => match answer {
                    Answer::Event(event) => {
                        if matches!(*event, Event::Drifted { .. }) {
                            peer.count(|totals| totals.drifts += 1);
                        }
                        *event
                    }
                    Answer::Stale(event) => {
                        peer.count(|totals| totals.stale_frames += 1);
                        *event
                    }
                    Answer::Failed(error) => return error.into(),
                },
                done = self.repairing.done() => {
                    self.repairing.take(done, peer);
                    continue;
                }
                _ = reset.changed() => return SessionEnd::Reset,
                () = self.row.over() => return SessionEnd::Reset,
                _ = role.changed() => return SessionEnd::RoleChanged,
                _ = tick.tick() => {
                    self.repairing.tick();
                    self.report(peer);
                    continue;
                }
            };
            self.target.handle(event);
        }
    }

    fn act(&mut self, peer: &PeerHandle) -> Result<(), SessionEnd> {
        while let Some(action) = self.target.poll() {
            match action {
                Action::Send(message) => {
                    if matches!(message, Message::Refuse(_)) {
                        peer.count(|totals| totals.refusals += 1);
                    }
                    self.link.send(message);
                }
                Action::Job(job) => self.jobs.push(Work::Job(Box::new(job))),
                Action::Consistent => {
                    if !self.consistent {
                        self.consistent = true;
                        self.record(peer, None);
                    }
                    self.shared.set_ready();
                    self.report(peer);
                }
                Action::Close(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Fragments leave: the machine drops what comes of them from here on, and behind what is queued nothing of them is applied.
    fn leave(&mut self, fragments: Vec<FragmentId>, gone: oneshot::Sender<()>, peer: &PeerHandle) -> Result<(), SessionEnd> {
        self.target.handle(Event::Leave(fragments));
        let scope = self.target.scope().clone();
        self.row.update(|row| row.scope = scope);
        // Order: what the machine does about it, such as giving up what is staged of them, is queued before the mark.
        if let Err(end) = self.act(peer) {
            self.leaving.push(gone); // they were the last of them: the session ends
            return Err(end);
        }
        self.jobs.push(Work::Reached(gone));
        Ok(())
    }

    /// In a cluster, an epoch that the ownership machine has not heard of is not taken over: what it is about is told by the manifest.
    fn check_epochs(&mut self, message: &Message) -> Result<(), SessionEnd> {
        let Some(wanted) = &self.wanted else { return Ok(()) };
        let newer = match message {
            Message::Offer(offer) => {
                offer.fragments.iter().map(|offered| (offered.id, offered.epochs.epoch())).find(|(id, epoch)| !wanted.allows(*id, *epoch))
            }
            Message::Live(live) if !self.is_under_way => {
                self.is_under_way = true;
                live.epochs.iter().map(|(id, epochs)| (*id, epochs.epoch())).find(|(id, epoch)| !wanted.allows(*id, *epoch))
            }
            _ => None,
        };
        newer.map_or(Ok(()), |(fragment, epoch)| Err(SessionEnd::Epoch { fragment, epoch }))
    }

    fn note(&mut self, message: &Message, peer: &PeerHandle) {
        match message {
            Message::Offer(offer) => {
                self.session = offer.session;
                self.repairing.agreed(offer.features, offer.session);
                peer.update(|status| status.session = offer.session);
            }
            Message::Plan(plan) => {
                if let Some(dearest) = plan.items.iter().max_by_key(|item| item.method) {
                    self.why.clone_from(&dearest.reason);
                    self.method = self.method.max(dearest.method);
                }
                peer.update(|status| status.plan.clone_from(&plan.items));
            }
            Message::Frame(_) => peer.count(|totals| totals.frames_received += 1),
            Message::Live(live) => peer.update(|status| status.acknowledged = live.upto),
            _ => {}
        }
    }

    fn record(&self, peer: &PeerHandle, failure: Option<(&'static str, String)>) {
        let handshake_bytes = self.counters.handshake_in() + self.counters.handshake_out();
        let progress = self.target.progress();
        peer.record(TransferRecord {
            kind: TransferKind::CatchUp,
            peer: self.owner.clone(),
            peer_role: PeerRole::Owner,
            session: self.session,
            method: self.method,
            why: if self.why.is_empty() { "both ends are equal".to_owned() } else { self.why.clone() },
            failure,
            entries: progress.entries,
            planned_bytes: progress.bytes_total,
            moved_bytes: (self.counters.bytes_in() + self.counters.bytes_out()).saturating_sub(handshake_bytes),
            handshake_bytes,
            sent_again_bytes: 0,
            full_copy_bytes: self.shared.store.facts().iter().map(|facts| facts.live_bytes).sum(),
            seconds: self.connected.elapsed().as_secs_f64(),
            cpu_seconds: self.counters.cpu_seconds(),
            ended: SystemTime::now(),
        });
    }

    fn report(&self, peer: &PeerHandle) {
        let (phase, progress) = (self.target.phase(), self.target.progress());
        peer.update(|status| {
            status.phase = phase.word();
            status.live = phase == Phase::Live;
            status.bytes = (progress.bytes_done, progress.bytes_total);
        });
        let now = (phase == Phase::Live, (progress.bytes_done, progress.bytes_total), self.target.scope().clone());
        if let Some(wanted) = self.wanted.as_ref().filter(|_| phase == Phase::Live) {
            wanted.cover(&now.2);
        }
        let has = |row: &Row| (row.live, row.bytes, row.scope.clone());
        self.row.update_if(now.clone(), has, |row| (row.live, row.bytes, row.scope) = now);
    }
}

/// What the driver wants next; never, where nobody can want anything.
async fn next(commands: &mut Option<&mut mpsc::UnboundedReceiver<Command>>) -> Option<Command> {
    match commands {
        Some(commands) => commands.recv().await,
        None => std::future::pending().await,
    }
}
