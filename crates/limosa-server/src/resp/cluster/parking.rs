//! The room in which requests wait for a cutover: bounded in connections and bytes, so that a stuck one costs no memory without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use limosa_core::limits::{PARKED_BYTES_MAX, PARKED_CLIENTS_MAX};

/// What waits at one front door.
#[derive(Debug)]
pub(crate) struct Parking {
    clients: AtomicUsize,
    bytes: AtomicUsize,
    clients_max: usize,
    bytes_max: usize,
}

/// One connection that waits; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Parked {
    parking: Arc<Parking>,
    bytes: usize,
}

impl Default for Parking {
    fn default() -> Self {
        let (clients, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { clients, bytes, clients_max: PARKED_CLIENTS_MAX, bytes_max: PARKED_BYTES_MAX }
    }
}

impl Parking {
    /// Lets a connection with `bytes` bytes of requests wait; `None` when too much waits already.
    pub(crate) fn enter(self: &Arc<Self>, bytes: usize) -> Option<Parked> {
        let place = Parked { parking: self.clone(), bytes };
        // Counted first, and taken back by the drop: no other thread takes places at one front door.
        let clients = self.clients.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (clients <= self.clients_max && bytes <= self.bytes_max).then_some(place)
    }

    /// How many connections wait.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.parking.clients.fetch_sub(1, Ordering::Relaxed);
        self.parking.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let parking = Arc::new(Parking { clients_max: 2, bytes_max: 100, ..Parking::default() });
        let one = parking.enter(60);
        assert!(one.is_some());
        assert!(parking.enter(41).is_none(), "bytes");
        let two = parking.enter(40);
        assert!(two.is_some());
        assert!(parking.enter(0).is_none(), "connections");
        drop(one);
        assert!(parking.enter(60).is_some());
        drop(two);
        assert_eq!((parking.clients(), parking.bytes.load(Ordering::Relaxed)), (0, 0));
    }
}
