//! What must hold in a cluster: I1, I2, I3, I5; I9 is judged by the world in calm.

use std::collections::BTreeMap;

use limosa_core::{FragmentCell, FragmentId, Version};

use super::chain::{Chain, Link};
use crate::check::Broken;

/// What clients know, and who wrote when.
#[derive(Default)]
pub(super) struct Judge {
    /// By fragment: the newest commit that was acknowledged by a member too.
    acknowledged: BTreeMap<FragmentId, Link>,
    /// By fragment: the newest version that a client has seen.
    seen: BTreeMap<FragmentId, Version>,
    /// Who writes under an epoch: a node, in one of its lives.
    writers: BTreeMap<(FragmentId, u32), (usize, u64)>,
    /// Commits acknowledged and reads judged.
    pub(super) acknowledgements: u64,
    pub(super) reads: u64,
}

impl Judge {
    /// I2: an epoch has one writer.
    pub(super) fn writes(&mut self, fragment: FragmentId, epoch: u32, node: usize, life: u64) -> Result<(), Broken> {
        let first = *self.writers.entry((fragment, epoch)).or_insert((node, life));
        if first == (node, life) {
            return Ok(());
        }
        let what = format!("{fragment}, epoch {epoch}: nodes and lives {first:?} and {:?} write", (node, life));
        Err(Broken { rule: "I2 a fragment has one owner an epoch", what })
    }

    /// A commit is acknowledged to its client; `is_replicated`: a member has it too.
    pub(super) fn acknowledge(&mut self, fragment: FragmentId, link: Link, is_replicated: bool) {
        self.acknowledgements += 1;
        if is_replicated {
            let newest = self.acknowledged.entry(fragment).or_insert(link);
            if newest.version < link.version {
                *newest = link;
            }
            let seen = self.seen.entry(fragment).or_default();
            *seen = link.version.max(*seen);
        }
    }

    /// I3: a read at the owner never goes back.
    pub(super) fn read(&mut self, fragment: FragmentId, version: Version, node: &str) -> Result<(), Broken> {
        self.reads += 1;
        let seen = self.seen.entry(fragment).or_default();
        if version < *seen {
            return Err(Broken {
                rule: "I3 a read never goes back",
                what: format!("{fragment}: {node} answers {version}, {seen} was seen before"),
            });
        }
        *seen = version;
        Ok(())
    }

    /// I1: who begins to serve has everything that was acknowledged.
    pub(super) fn serves(&self, fragment: FragmentId, chain: &Chain, node: &str) -> Result<(), Broken> {
        match self.acknowledged.get(&fragment) {
            Some(link) if !chain.has(link) => {
                let what = format!("{fragment}: {node} serves with {} and without {}", chain.head(), link.version);
                Err(Broken { rule: "I1 no acknowledged write is lost", what })
            }
            _ => Ok(()),
        }
    }

    /// I5: ownership changes hands only where both have the same.
    pub(super) fn changes_hands(before: &FragmentCell, source: &Chain, target: &Chain) -> Result<(), Broken> {
        if source.links.len() == source.durable && target.state() == source.state() {
            return Ok(());
        }
        let what = format!("{}: {} of the source, {} of the target", before.id(), source.head(), target.held());
        Err(Broken { rule: "I5 ownership changes only between equals", what })
    }
}
