//! What must hold at every instant, whatever happened: told as a sentence when it does not.

use std::collections::BTreeMap;

use limosa_core::{FragmentId, NodeName, Version};

use super::disk::{Held, Written};

#[derive(Clone, Debug, Default)]
pub(super) struct Oracle {
    /// Every version ever given, and the write that got it.
    given: BTreeMap<(FragmentId, Version), u64>,
    /// Writes that were acknowledged at their promised level.
    acknowledged: BTreeMap<FragmentId, Vec<Written>>,
    /// How many of them each node that serves is known to have, since it began to serve.
    checked: BTreeMap<(FragmentId, NodeName), usize>,
    /// Who opened which epoch.
    openers: BTreeMap<(FragmentId, u32), NodeName>,
    /// The first thing that did not hold.
    pub(super) broken: Option<String>,
}

impl Oracle {
    fn complain(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    pub(super) fn gives(&mut self, node: &NodeName, fragment: FragmentId, (version, id): Written) {
        if self.openers.get(&(fragment, version.epoch)) != Some(node) {
            self.complain(format!("I2: {node} gave {version} of {fragment}, an epoch that it did not open"));
        }
        if let Some(other) = self.given.insert((fragment, version), id) {
            self.complain(format!("I3: {node} gave {version} of {fragment} to write {id}, and it was given to {other} before"));
        }
    }

    pub(super) fn opens(&mut self, node: &NodeName, fragment: FragmentId, epoch: u32) {
        let opener = self.openers.entry((fragment, epoch)).or_insert_with(|| node.clone()).clone();
        if opener != *node {
            self.complain(format!("I2: {node} opened epoch {epoch} of {fragment}, which is {opener}'s"));
        }
    }

    pub(super) fn acknowledges(&mut self, fragment: FragmentId, write: Written) {
        self.acknowledged.entry(fragment).or_default().push(write);
    }

    pub(super) fn acknowledged(&self, fragment: FragmentId) -> usize {
        self.acknowledged.get(&fragment).map_or(0, Vec::len)
    }

    /// A split: what was given and acknowledged in the whole was so in both parts.
    pub(super) fn splits(&mut self, whole: FragmentId, parts: &[FragmentId]) {
        let given: Vec<_> = self.given.iter().filter(|((of, _), _)| *of == whole).map(|((_, version), id)| (*version, *id)).collect();
        for part in parts {
            self.given.extend(given.iter().map(|(version, id)| ((*part, *version), *id)));
            self.acknowledged.insert(*part, self.acknowledged.get(&whole).cloned().unwrap_or_default());
        }
    }

    /// A merge of halves that are at the seal: from here on one write stands for all of them.
    pub(super) fn merges(&mut self, halves: [(FragmentId, &Held); 2], whole: FragmentId, write: Written) {
        for (half, held) in halves {
            let missing = self.acknowledged.get(&half).into_iter().flatten().find(|write| !held.has(**write)).copied();
            if let Some(missing) = missing {
                self.complain(format!("I1: {half} was merged without the acknowledged {}", missing.0));
            }
        }
        self.given.insert((whole, write.0), write.1);
        self.acknowledged.insert(whole, vec![write]);
    }

    pub(super) fn serves_what_is_gone(&mut self, node: &NodeName, fragment: FragmentId) {
        self.complain(format!("I2: {node} serves {fragment}, which others stand for"));
    }

    /// An operator's word: whatever was acknowledged before it may be gone.
    pub(super) fn accept_loss(&mut self) {
        self.acknowledged.clear();
    }

    /// Those who serve a fragment now, and whether each of them has a write.
    pub(super) fn served_by(&mut self, fragment: FragmentId, serving: &[&NodeName], has: impl Fn(&NodeName, Written) -> bool) {
        if serving.len() > 1 {
            self.complain(format!("I2: {serving:?} serve {fragment} at once"));
        }
        self.checked.retain(|(of, node), _| *of != fragment || serving.contains(&node));
        let all = self.acknowledged.get(&fragment).map_or(&[][..], Vec::as_slice);
        let mut lost = None;
        for node in serving {
            // What a serving node has it keeps: only what was acknowledged since the last look is new.
            let checked = self.checked.entry((fragment, (*node).clone())).or_default();
            let missing = all[(*checked).min(all.len())..].iter().find(|write| !has(node, **write));
            *checked = all.len();
            lost = lost.or(missing.map(|write| format!("I1: {node} serves {fragment} without the acknowledged {}", write.0)));
        }
        if let Some(lost) = lost {
            self.complain(lost);
        }
    }
}
