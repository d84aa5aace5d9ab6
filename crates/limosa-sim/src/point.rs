//! Crash points: every step of a commit, a transfer and a checkpoint, at each end, before its effect, behind it, and when its answer is lost.

use std::collections::BTreeMap;
use std::fmt;

use crate::random::Random;

/// A step that a node does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Step {
    /// The owner writes and publishes what clients committed.
    Commit,
    /// The owner cuts its state for a transfer.
    SourceCut,
    /// The owner opens an epoch above the standby's.
    SourceEpoch,
    /// The owner estimates what each method would cost.
    SourceEstimate,
    /// The owner compares by content.
    SourceCompare,
    /// The owner reads a frame.
    SourceExtract,
    /// The owner reads its live stream.
    SourceTail,
    /// The standby says what it has.
    TargetState,
    /// The standby sets aside what it would lose.
    TargetSetAside,
    /// The standby opens a stage.
    StageOpen,
    /// The standby goes on with a stage in other fragments.
    StageReframe,
    /// The standby gives a stage up.
    StageAbort,
    /// The standby compares by content.
    TargetCompare,
    /// The standby applies a frame to its stage.
    Apply,
    /// The standby makes the stage what readers see.
    Install,
    /// The standby takes commits of the live stream.
    Replicate,
    /// The standby flushes behind frames or commits, before it acknowledges them.
    TargetFlush,
    /// A node writes a checkpoint.
    Checkpoint,
    /// A node syncs its journal.
    Sync,
    /// A node raises floors, or drops deletions below them.
    House,
    /// A node is made the owner.
    Promote,
    /// The owner splits or merges fragments.
    Reframe,
}

const STEPS: &[Step] = &[
    Step::Commit,
    Step::SourceCut,
    Step::SourceEpoch,
    Step::SourceEstimate,
    Step::SourceCompare,
    Step::SourceExtract,
    Step::SourceTail,
    Step::TargetState,
    Step::TargetSetAside,
    Step::StageOpen,
    Step::StageReframe,
    Step::StageAbort,
    Step::TargetCompare,
    Step::Apply,
    Step::Install,
    Step::Replicate,
    Step::TargetFlush,
    Step::Checkpoint,
    Step::Sync,
    Step::House,
    Step::Promote,
    Step::Reframe,
];

/// When, beside the step's effect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum When {
    /// The node dies before it does the step.
    Before,
    /// It dies when the step is done, and nobody was told.
    Behind,
    /// It lives on; whoever waits for the answer does not get it.
    ReplyLost,
}

/// One crash point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Point {
    /// At which step.
    pub step: Step,
    /// When.
    pub when: When,
}

/// How often each was hit.
pub type Hits = BTreeMap<Point, u64>;

impl Point {
    /// The whole table. What nobody waits for has no answer to lose.
    pub fn all() -> impl Iterator<Item = Self> {
        let has_answer = |step: Step| !matches!(step, Step::Checkpoint | Step::Sync | Step::House | Step::Promote | Step::Reframe);
        let whens = move |step: Step| {
            [When::Before, When::Behind, When::ReplyLost].into_iter().filter(move |when| *when != When::ReplyLost || has_answer(step))
        };
        STEPS.iter().flat_map(move |step| whens(*step).map(|when| Self { step: *step, when }))
    }

    /// One of them.
    pub fn draw(random: &mut Random) -> Self {
        let index = random.index(Self::all().count());
        Self::all().nth(index).expect("below their count")
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.when {
            When::Before => "before",
            When::Behind => "behind",
            When::ReplyLost => "reply lost at",
        };
        write!(f, "{when} {:?}", self.step)
    }
}
