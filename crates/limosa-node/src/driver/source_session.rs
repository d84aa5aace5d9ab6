//! Drives the source's machine over one connection: messages and answers in, actions out. Decides nothing.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use limosa_carry::SourceCarrier;
use limosa_core::Scope;
use limosa_engine::Source;
use limosa_engine::source::{Action, Config, Event, Permit, Phase};
use limosa_store::StoreError;
use limosa_wire::{Message, Method, Purpose, WIRE_VERSIONS, features};
use tokio::sync::mpsc;

use super::cluster::Board;
use super::jobs::JobThread;
use super::link::Link;
use super::node::Shared;
use super::on_the_way::OnTheWay;
use super::patience::patiently;
use super::permit;
use super::registry::{PeerHandle, PeerRole, TransferKind, TransferRecord};
use super::repairing::Repairing;
use super::session_end::SessionEnd;
use super::session_table::{Row, SessionHandle, Side};
use super::transfer_log::{Logged, TransferLog};
use crate::transport::{Connection, Counters, Stage};

/// How often a session tells how far it is.
const REPORT_EVERY: Duration = Duration::from_millis(100);

type Answer = Result<Option<Event>, StoreError>;

/// One connection from a standby, until it ends.
pub(super) struct SourceSession {
    shared: Arc<Shared>,
    source: Source,
    link: Link,
    jobs: JobThread<limosa_engine::source::Job, Answer>,
    peer: PeerHandle,
    watch: Consistency,
    on_the_way: OnTheWay,
    /// The standby's data folder, once it has introduced itself.
    incarnation: u64,
    repairing: Repairing,
    row: SessionHandle,
    counted: Counted,
    purpose: Purpose,
}

/// Measures one transfer: from the accepted connection until the target agrees at a version at least the head of that moment.
struct Consistency {
    peer: String,
    session: u64,
    accepted: Instant,
    head_then: u64,
    full_copy_bytes: u64,
    counters: Arc<Counters>,
    why: String,
    method: Method,
    sent_again_bytes: u64,
    reached: bool,
}

impl SourceSession {
    pub(super) fn new(shared: Arc<Shared>, connection: Connection, address: String) -> Result<Self, SessionEnd> {
        let name = connection.peer_name().as_str().to_owned();
        let session = shared.random()?;
        let log = shared.options.transfer_log.as_deref().map(TransferLog::open).transpose().map_err(SessionEnd::TransferLog)?;
        let watch = Consistency {
            peer: name.clone(),
            session,
            accepted: Instant::now(),
            head_then: shared.store.horizon().0,
            full_copy_bytes: shared.store.facts().iter().map(|facts| facts.live_bytes).sum(),
            counters: connection.counters(),
            why: String::new(),
            method: Method::Nothing,
            sent_again_bytes: 0,
            reached: false,
        };
        let peer = shared.registry.open(PeerRole::Standby, Some(name.clone()), address);
        peer.connected(&name, session, connection.counters());
        let source = Source::new(Config {
            cluster: shared.cluster(),
            space_keys: shared.options.space_keys.id(),
            peer: name,
            session,
            credit_window: shared.options.credit_window,
            wire_versions: WIRE_VERSIONS,
            features: features::ALL,
            permit: Permit::default(),
        });
        let row = shared.sessions.open(connection.peer_name().clone(), Side::Source, Scope::only([]));
        let counted = Counted { board: shared.board.clone(), id: row.id() };
        if let Some(board) = &counted.board {
            // From the start: what is acknowledged before the session is first reported would have no place, and with no commit behind it the
            // owner would wait for a word that was given.
            board.session_scope(counted.id, connection.peer_name(), Scope::only([]));
        }
        let (store, counters) = (shared.store.clone(), connection.counters());
        let (mut carrier, mut log) = (SourceCarrier::default(), Logged(log));
        let jobs = JobThread::spawn("limosa-source", move |job: limosa_engine::source::Job, answers: &mpsc::UnboundedSender<Answer>| {
            let measured = || counters.cpu().measure(Stage::State, || carrier.carry_out(&store, &job, &mut log));
            let answer = patiently(&store, || answers.is_closed(), measured);
            let _ = answers.send(answer); // the session has ended
        });
        let repairing = Repairing::new(shared.clone(), watch.peer.clone(), PeerRole::Standby);
        let on_the_way = OnTheWay::new(peer.take_cut());
        Ok(Self {
            shared,
            source,
            link: Link::new(connection),
            jobs,
            peer,
            watch,
            on_the_way,
            incarnation: 0,
            repairing,
            row,
            counted,
            purpose: Purpose::Follow,
        })
    }

    /// Until the connection, the peer or this node ends the session.
    pub(super) async fn run(mut self) -> SessionEnd {
        let end = self.drive().await;
        self.report();
        if !self.watch.reached {
            self.record(Some((end.code(), end.to_string())));
        }
        self.peer.leave_cut(std::mem::take(&mut self.on_the_way).end());
        self.peer.disconnected(end.blocks().then(|| end.to_string()));
        if let Some(close) = end.to_close() {
            self.link.send(Message::Close(close));
        }
        self.link.close().await;
        end
    }

    async fn drive(&mut self) -> SessionEnd {
        let started = self.watch.accepted;
        let mut published = self.shared.published.subscribe();
        let mut reset = self.shared.reset.subscribe();
        let mut role = self.shared.role.subscribe();
        let mut tick = tokio::time::interval(REPORT_EVERY);
        let mut phase = self.source.phase();
        loop {
            if let Err(end) = self.act() {
                return end;
            }
            if self.source.phase() != phase {
                phase = self.source.phase();
                self.report_row(); // at once: replies wait for whoever goes live
            }
            self.repairing.act(&self.link);
            let event = tokio::select! {
                message = self.link.receive() => match message {
                    Ok(message) if Repairing::takes(&message) => match self.repairing.handle(message) {
                        Ok(()) => continue,
                        Err(end) => return end,
                    },
                    Ok(message) => {
                        self.note_received(&message);
                        Event::Message(message)
                    }
                    Err(error) => return error.into(),
                },
                answer = self.jobs.answer() => match answer {
                    Ok(Some(event)) => event,
                    Ok(None) => continue,
                    Err(error) => return error.into(),
                },
                done = self.repairing.done() => {
                    self.repairing.take(done, &self.peer);
                    continue;
                }
                _ = published.changed() => Event::Published,
                _ = reset.changed() => return SessionEnd::Reset,
                () = self.row.over() => return SessionEnd::Reset,
                _ = role.changed() => {
                    if !role.borrow_and_update().is_owner() {
                        return SessionEnd::NotOwner;
                    }
                    continue;
                }
                _ = tick.tick() => {
                    self.repairing.tick();
                    self.report();
                    match permit::lost(&self.shared, self.purpose, self.source.scope()) {
                        Some(lost) if self.source.phase() != Phase::Hello => Event::Leave(lost),
                        _ => continue,
                    }
                }
            };
            self.source.handle(started.elapsed(), event);
        }
    }

    fn act(&mut self) -> Result<(), SessionEnd> {
        while let Some(action) = self.source.poll() {
            match action {
                Action::Send(message) => {
                    self.note_plan(&message);
                    self.note_sent(&message);
                    self.link.send(message);
                }
                Action::Job(job) => self.jobs.push(job),
                Action::Acknowledged(position) => {
                    self.peer.acknowledged(position);
                    self.row.update(|row| row.acknowledged = position);
                    if let Some(board) = &self.counted.board {
                        board.acknowledged(self.counted.id, position);
                    }
                    self.notice_consistency(position);
                }
                Action::Held(versions) => {
                    self.shared.store.renew_lease(&self.watch.peer, self.incarnation, &versions);
                    self.row.update(|row| Arc::make_mut(&mut row.held).extend(versions.iter().copied()));
                    self.peer.held(versions);
                }
                Action::Alternatives(others) => self.peer.update(|status| status.alternatives = Arc::new(others)),
                Action::Close(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn note_plan(&mut self, message: &Message) {
        let Message::Plan(plan) = message else { return };
        if let Some(dearest) = plan.items.iter().max_by_key(|item| item.method) {
            self.watch.why.clone_from(&dearest.reason);
            self.watch.method = self.watch.method.max(dearest.method);
        }
        self.peer.update(|status| status.plan.clone_from(&plan.items));
    }

    fn note_sent(&mut self, message: &Message) {
        let again = self.on_the_way.sent(message);
        self.watch.sent_again_bytes += again;
        if let Message::Offer(offer) = message {
            self.repairing.agreed(offer.features, offer.session);
        }
        let is_frame = matches!(message, Message::Frame(_));
        if is_frame || again > 0 {
            self.peer.count(|totals| {
                totals.frames_sent += u64::from(is_frame);
                totals.sent_again_bytes += again;
            });
        }
    }

    fn note_received(&mut self, message: &Message) {
        self.on_the_way.received(message);
        if let Message::Hello(hello) = message {
            self.incarnation = hello.incarnation;
            // A second one is refused by the machine, not taken.
            if let Some(permit) = permit::of(&self.shared, hello.purpose).filter(|_| self.source.phase() == Phase::Hello) {
                self.purpose = hello.purpose;
                self.source.permit(permit);
            }
        }
        if matches!(message, Message::Refuse(_)) {
            self.peer.count(|totals| totals.refusals += 1);
        }
    }

    fn notice_consistency(&mut self, position: u64) {
        if self.watch.reached || position < self.watch.head_then {
            return;
        }
        self.watch.reached = true;
        self.on_the_way.agreed();
        self.record(None);
        let seconds = self.watch.accepted.elapsed().as_secs_f64();
        tracing::info!(peer = self.watch.peer, method = self.watch.method.word(), seconds, "standby agrees");
    }

    fn record(&self, failure: Option<(&'static str, String)>) {
        let watch = &self.watch;
        let handshake_bytes = watch.counters.handshake_in() + watch.counters.handshake_out();
        let progress = self.source.progress();
        self.peer.record(TransferRecord {
            kind: TransferKind::CatchUp,
            peer: watch.peer.clone(),
            peer_role: PeerRole::Standby,
            session: watch.session,
            method: watch.method,
            why: if watch.why.is_empty() { "both ends are equal".to_owned() } else { watch.why.clone() },
            failure,
            entries: progress.entries_sent,
            planned_bytes: progress.bytes_total,
            moved_bytes: (watch.counters.bytes_in() + watch.counters.bytes_out()).saturating_sub(handshake_bytes),
            handshake_bytes,
            sent_again_bytes: watch.sent_again_bytes,
            full_copy_bytes: watch.full_copy_bytes,
            seconds: watch.accepted.elapsed().as_secs_f64(),
            cpu_seconds: watch.counters.cpu_seconds(),
            ended: SystemTime::now(),
        });
    }

    fn report(&self) {
        self.shared.store.touch_lease(&self.watch.peer);
        let (phase, progress) = (self.source.phase(), self.source.progress());
        self.peer.update(|status| {
            status.phase = phase.word();
            status.live = phase == Phase::Live;
            status.bytes = (progress.bytes_done, progress.bytes_total);
        });
        self.report_row();
    }

    /// What the ownership driver looks at, and whose acknowledgements count.
    fn report_row(&self) {
        let (phase, progress) = (self.source.phase(), self.source.progress());
        // Before Hello was answered nobody knows what the session is about.
        let scope = if phase == Phase::Hello { Scope::only([]) } else { self.source.scope().clone() };
        let now = (phase == Phase::Live, (progress.bytes_done, progress.bytes_total), scope.clone());
        let has = |row: &Row| (row.live, row.bytes, row.scope.clone());
        let is_new = self.row.update_if(now.clone(), has, |row| (row.live, row.bytes, row.scope) = now);
        if let Some(board) = self.counted.board.as_ref().filter(|_| is_new) {
            board.session_scope(self.counted.id, &self.row.peer(), scope);
        }
    }
}

/// Whose word about what it has on its disk counts as long as the session lasts.
struct Counted {
    board: Option<Arc<Board>>,
    id: u64,
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(board) = &self.board {
            board.session_ended(self.id);
        }
    }
}
