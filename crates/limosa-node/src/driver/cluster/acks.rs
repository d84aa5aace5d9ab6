//! Up to where each fragment's commits are acknowledged: what the members of its sync set have on their disks.

use std::collections::BTreeMap;

use limosa_core::{FragmentId, NodeName, Scope};
use limosa_engine::ownership::Count;

/// Who must have a write before its reply leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AckLevel {
    /// The owner, at its durability.
    Local,
    /// The owner and as many members of the sync set as the cell asks for (w).
    #[default]
    Standby,
    /// The owner and every member of the sync set.
    All,
}

/// How far what was written in one stint is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acked {
    /// Up to this position of this node's journal; `u64::MAX` where nobody is waited for.
    UpTo(u64),
    /// Nobody here will know: another node took over meanwhile.
    Unknown,
}

/// What one session's other end has.
#[derive(Clone, Debug)]
struct Row {
    member: NodeName,
    /// Fragments that the session is about.
    scope: Scope,
    position: u64,
}

/// Sessions by id.
#[derive(Default, Debug)]
pub(in super::super) struct Acks {
    rows: BTreeMap<u64, Row>,
}

impl Acks {
    /// A session with `member` begins, or its scope is another one now. What it has is known again from its first word on.
    pub(in super::super) fn scope(&mut self, session: u64, member: &NodeName, scope: Scope) {
        let row = self.rows.entry(session).or_insert_with(|| Row { member: member.clone(), scope: Scope::only([]), position: 0 });
        row.scope = scope;
    }

    /// The other end of a session has everything up to `position` on its disk. True: that is news.
    pub(in super::super) fn acknowledged(&mut self, session: u64, position: u64) -> bool {
        let Some(row) = self.rows.get_mut(&session) else { return false };
        let is_new = position > row.position;
        row.position = row.position.max(position);
        is_new
    }

    /// The session is over: its word counts no more.
    pub(in super::super) fn end(&mut self, session: u64) {
        self.rows.remove(&session);
    }

    /// Up to where commits are acknowledged at `level` where `count` says who counts; `u64::MAX` where nobody is waited for.
    pub(in super::super) fn acked(&self, count: &Count, level: AckLevel) -> u64 {
        let needed = match level {
            AckLevel::Local => 0,
            AckLevel::Standby => count.needed,
            AckLevel::All => count.members.len().max(count.needed),
        };
        if needed == 0 {
            return u64::MAX;
        }
        let mut positions: Vec<u64> = count.members.iter().map(|member| self.of(member, count.fragment)).collect();
        positions.sort_unstable_by(|a, b| b.cmp(a));
        positions.get(needed - 1).copied().unwrap_or(0) // fewer members than must flush: nothing is acknowledged
    }

    /// Members that have everything up to `position`.
    pub(in super::super) fn copies(&self, count: &Count, position: u64) -> usize {
        count.members.iter().filter(|member| self.of(member, count.fragment) >= position).count()
    }

    fn of(&self, member: &NodeName, fragment: FragmentId) -> u64 {
        let covers = |row: &&Row| row.member == *member && row.scope.has(fragment);
        self.rows.values().filter(covers).map(|row| row.position).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn name(text: &str) -> NodeName {
        text.parse().expect("a good name")
    }

    fn count(members: &[&str], needed: usize) -> Count {
        Count { fragment: FragmentId(1), members: members.iter().map(|member| name(member)).collect(), needed }
    }

    #[test]
    fn what_counts_is_the_word_of_members_about_the_fragment_in_sessions_that_last() {
        let mut acks = Acks::default();
        for (session, member, fragments) in [(1, "b", vec![1]), (2, "c", vec![1, 2]), (3, "c", vec![2]), (4, "d", vec![1])] {
            acks.scope(session, &name(member), Scope::only(fragments.into_iter().map(FragmentId)));
        }
        for (session, position) in [(1, 10), (2, 20), (3, 30), (4, 40)] {
            assert!(acks.acknowledged(session, position));
            assert!(!acks.acknowledged(session, position - 1), "an older word is no news");
        }
        let both = count(&["b", "c"], 1);
        assert_eq!(acks.acked(&both, AckLevel::Standby), 20, "one is enough; d is no member, session 3 is about another fragment");
        assert_eq!(acks.acked(&both, AckLevel::All), 10);
        assert_eq!(acks.acked(&both, AckLevel::Local), u64::MAX);
        acks.end(2);
        assert_eq!(acks.acked(&both, AckLevel::Standby), 10);
        assert_eq!(acks.acked(&both, AckLevel::All), 0, "c's word went with its session");
        assert_eq!(acks.acked(&count(&["b"], 2), AckLevel::Standby), 0, "fewer members than must flush");
        assert_eq!(acks.acked(&count(&[], 0), AckLevel::Standby), u64::MAX, "visibly local");
    }
}
