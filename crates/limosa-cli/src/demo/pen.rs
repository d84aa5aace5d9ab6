//! Writes to the owner and into the model at once.

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

/// Writes both. The model is right once [`Pen::finish`] returned; a demo whose writes fail ends.
pub(super) struct Pen<'a> {
    writer: Writer,
    model: &'a mut Model,
}

impl<'a> Pen<'a> {
    pub(super) fn new(owner: SocketAddr, model: &'a mut Model) -> Result<Self, DemoError> {
        Ok(Self { writer: Writer::connect("owner", owner)?, model })
    }

    /// A key that the standby has no word of yet.
    pub(super) fn begin(&mut self, put: Put) -> Result<(), DemoError> {
        self.writer.put(&put)?;
        self.model.begin(put.key, Fact::of(&put.value, put.expiry_ms));
        Ok(())
    }

    pub(super) fn put(&mut self, put: &Put) -> Result<(), DemoError> {
        self.writer.put(put)?;
        self.model.put(&put.key, Fact::of(&put.value, put.expiry_ms));
        Ok(())
    }

    pub(super) fn write(&mut self, change: &Change) -> Result<(), DemoError> {
        match change {
            Change::Put(put) => self.put(put),
            Change::Delete(key) => {
                self.writer.delete(key)?;
                self.model.delete(key);
                Ok(())
            }
            Change::Expire(key, expiry_ms) => {
                self.writer.expire(key, *expiry_ms)?;
                let fact = self.model.get(key).expect("only keys that are there get an expiry");
                self.model.put(key, fact.expiring(*expiry_ms));
                Ok(())
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<(), DemoError> {
        self.writer.finish()
    }
}
