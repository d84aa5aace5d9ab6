//! Leases of the embedded store: who is thought to be there, by the clock of this process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::store::LeaseId;

/// By lease: how long it lives from a sign of life on, and until when.
#[derive(Default)]
pub(super) struct Leases {
    rows: BTreeMap<i64, (Duration, Instant)>,
    last: i64,
}

impl Leases {
    pub(super) fn grant(&mut self, ttl: Duration, now: Instant) -> LeaseId {
        self.last += 1;
        let ttl = Duration::from_secs(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)).max(Duration::from_secs(1));
        self.rows.insert(self.last, (ttl, now + ttl));
        LeaseId(self.last)
    }

    pub(super) fn lives(&self, lease: LeaseId) -> bool {
        self.rows.contains_key(&lease.0)
    }

    pub(super) fn keep_alive(&mut self, lease: LeaseId, now: Instant) -> bool {
        let row = self.rows.get_mut(&lease.0);
        row.map(|(ttl, until)| *until = now + *ttl).is_some()
    }

    pub(super) fn forget(&mut self, lease: LeaseId) {
        self.rows.remove(&lease.0);
    }

    /// Takes out the leases that have run out.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<LeaseId> {
        let gone: Vec<i64> = self.rows.iter().filter(|(_, (_, until))| *until <= now).map(|(&lease, _)| lease).collect();
        self.rows.retain(|lease, _| !gone.contains(lease));
        gone.into_iter().map(LeaseId).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lives_from_its_last_sign_of_life_on() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        let lease = leases.grant(Duration::from_millis(1500), start); // rounded up to 2 s
        assert!(leases.expired(start + Duration::from_millis(1999)).is_empty());
        assert!(leases.keep_alive(lease, start + Duration::from_secs(1)));
        assert!(leases.expired(start + Duration::from_millis(2999)).is_empty());
        assert_eq!(leases.expired(start + Duration::from_secs(3)), vec![lease]);
        assert!(!leases.keep_alive(lease, start + Duration::from_secs(3)));
    }
}
