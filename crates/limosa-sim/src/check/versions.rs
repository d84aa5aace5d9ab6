//! I3: (epoch, seq) of a fragment only grows at an owner, and a pair is never given twice.

use std::collections::BTreeMap;

use limosa_core::{FragmentFacts, FragmentId, Version};

use super::Broken;
use crate::oracle::Oracle;

const RULE: &str = "I3 versions only grow, and none is given twice";

/// What the owner that runs has shown so far.
#[derive(Default)]
pub(crate) struct Versions {
    heads: BTreeMap<FragmentId, Version>,
}

impl Versions {
    /// Another owner, or the same one after a start: what it lost was never promised.
    pub(crate) fn begin(&mut self) {
        self.heads.clear();
    }

    /// The owner has published.
    pub(crate) fn owner_shows(&mut self, oracle: &mut Oracle, facts: &[FragmentFacts]) -> Result<(), Broken> {
        for fact in facts {
            let head = self.heads.entry(fact.id).or_insert(fact.head);
            if fact.head < *head {
                return Err(Broken { rule: RULE, what: format!("{} went from {head} back to {}", fact.id, fact.head) });
            }
            *head = fact.head;
        }
        oracle.owner_shows(facts).map_err(Broken::of(RULE))
    }
}
