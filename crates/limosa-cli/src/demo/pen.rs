//! Writes to the owner, through several connections, and into the model at once.

use std::net::SocketAddr;

use super::content::Put;
use super::error::DemoError;
use super::fact::Fact;
use super::model::Model;
use super::writer::Writer;

/// One change of the state.
pub(super) enum Change {
    Put(Put),
    Delete(super::model::Key),
    Expire(super::model::Key, u64),
}

/// Connections: a node flushes the journal once for what all of them have written.
const LANES: usize = 4;

/// Writes both. The model is right once [`Pen::finish`] returned; a demo whose writes fail ends.
pub(super) struct Pen<'a> {
    lanes: Vec<Writer>,
    model: &'a mut Model,
}

impl<'a> Pen<'a> {
    pub(super) fn new(owner: SocketAddr, model: &'a mut Model) -> Result<Self, DemoError> {
        let lanes = (0..LANES).map(|_| Writer::connect("owner", owner)).collect::<Result<_, _>>()?;
        Ok(Self { lanes, model })
    }

    /// The connection for a key: always the same one, so that writes of a key stay in order.
    fn lane(&mut self, key: &[u8]) -> &mut Writer {
        let hash = key.iter().fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        &mut self.lanes[hash % LANES]
    }

    /// A key that the standby has no word of yet.
    pub(super) fn begin(&mut self, put: Put) -> Result<(), DemoError> {
        self.lane(&put.key).put(&put)?;
        self.model.begin(put.key, Fact::of(&put.value, put.expiry_ms));
        Ok(())
    }

    pub(super) fn put(&mut self, put: &Put) -> Result<(), DemoError> {
        self.lane(&put.key).put(put)?;
        self.model.put(&put.key, Fact::of(&put.value, put.expiry_ms));
        Ok(())
    }

    pub(super) fn write(&mut self, change: &Change) -> Result<(), DemoError> {
        match change {
            Change::Put(put) => self.put(put),
            Change::Delete(key) => {
                self.lane(key).delete(key)?;
                self.model.delete(key);
                Ok(())
            }
            Change::Expire(key, expiry_ms) => {
                self.lane(key).expire(key, *expiry_ms)?;
                let fact = self.model.get(key).expect("only keys that are there get an expiry");
                self.model.put(key, fact.expiring(*expiry_ms));
                Ok(())
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<(), DemoError> {
        self.lanes.iter_mut().try_for_each(Writer::finish)
    }
}
