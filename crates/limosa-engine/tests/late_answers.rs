//! A target whose answers come behind the message that made them old.

use bytes::Bytes;
use limosa_core::{Digest, EpochRow, EpochTable, FragmentFacts, FragmentId, KeyRange, Scope, Version};
use limosa_engine::target::{Action, Config, Event, Job, Phase, Target};
use limosa_wire::{Live, Message, Offer, OfferedFragment, Purpose, WIRE_VERSIONS, features};

fn facts() -> FragmentFacts {
    let head = Version::new(1, 9);
    let rows = vec![EpochRow { epoch: 1, first_seq: 1, opener: 4 }];
    FragmentFacts {
        id: FragmentId(0),
        range: KeyRange::ALL,
        head,
        state: Digest(7),
        content: Digest(7),
        live: 9,
        live_bytes: 90,
        tombstones: 0,
        floor: Version::ZERO,
        epochs: EpochTable::from_rows(rows).expect("one row is in order").into(),
    }
}

fn offer(equal: bool) -> Event {
    let FragmentFacts { id, range, head, state, live, live_bytes, floor, epochs, .. } = facts();
    let fragments = if equal { Vec::new() } else { vec![OfferedFragment { id, range, head, state, live, live_bytes, floor, epochs }] };
    let offer = Offer { wire_version: 1, features: features::ALL, session: 5, equal, fragments };
    Event::Message(Message::Offer(offer))
}

fn live(upto: u64) -> Event {
    let (records, reframe) = (Bytes::new(), Bytes::new());
    Event::Message(Message::Live(Live { upto, records, epochs: Vec::new(), checks: Vec::new(), floors: Vec::new(), reframe }))
}

fn jobs(target: &mut Target) -> Vec<Job> {
    std::iter::from_fn(|| target.poll()).filter_map(|action| if let Action::Job(job) = action { Some(job) } else { None }).collect()
}

/// A target that agreed with its source at once and takes the stream.
fn live_target() -> Target {
    let mut target = Target::new(Config {
        cluster: [7; 16],
        node: "b".to_owned(),
        incarnation: 1,
        space_keys: 3,
        wire_versions: WIRE_VERSIONS,
        features: features::ALL,
        credit_window: 1 << 20,
        scope: Scope::All,
        purpose: Purpose::Follow,
        stage: 5,
    });
    target.handle(Event::State { facts: vec![facts()], stage: None });
    target.handle(offer(true));
    assert_eq!(target.phase(), Phase::Live);
    target
}

/// Found by the simulator (seed 1202): a standby on a slow disk had commits of the live stream waiting for its journal when the owner, whose
/// ring it had fallen behind, offered again. The answers to those commits ended the process.
#[test]
fn an_offer_overtakes_the_answers_to_commits_of_the_live_stream() {
    let mut target = live_target();
    target.handle(live(10));
    target.handle(live(20));
    target.handle(offer(false));
    assert!(matches!(jobs(&mut target)[..], [Job::State { .. }, Job::Replicate { .. }, Job::Replicate { .. }, Job::State { .. }]));
    target.handle(Event::Replicated(1));
    target.handle(Event::Replicated(2));
    target.handle(Event::Durable(2));
    assert_eq!(target.phase(), Phase::Preparing, "the answer to the offer is still to come");
    assert!(target.poll().is_none(), "nothing is acknowledged: the offer counts from anew");
}

/// The journal is flushed by a thread of its own: its word may come before the answer of the job that it is about. Nobody wrote behind that
/// commit, so nothing else would have acknowledged it.
#[test]
fn what_is_durable_before_its_answer_comes_is_acknowledged_with_the_answer() {
    let mut target = live_target();
    target.handle(live(10));
    assert_eq!(jobs(&mut target).iter().filter(|job| matches!(job, Job::Replicate { .. })).count(), 1);
    target.handle(Event::Durable(3));
    target.handle(Event::Replicated(3));
    let acks: Vec<u64> = std::iter::from_fn(|| target.poll())
        .filter_map(|action| if let Action::Send(Message::Ack(ack)) = action { Some(ack.live) } else { None })
        .collect();
    assert_eq!(acks, [10]);
}
