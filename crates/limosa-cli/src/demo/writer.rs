//! Writes to a node through one pipelined connection, and counts what was answered.

use std::net::SocketAddr;

use super::content::Put;
use super::error::DemoError;
use super::resp::{Reply, Resp};

/// Commands whose replies may be outstanding.
const PIPELINED_MAX: usize = 4096;

/// A pipelined writer. What it wrote counts as written when [`Writer::finish`] returns.
pub(super) struct Writer {
    resp: Resp,
    outstanding: usize,
}

impl Writer {
    pub(super) fn connect(node: &'static str, address: SocketAddr) -> Result<Self, DemoError> {
        Ok(Self { resp: Resp::connect(node, address)?, outstanding: 0 })
    }

    pub(super) fn put(&mut self, put: &Put) -> Result<(), DemoError> {
        if put.expiry_ms == 0 {
            self.send(&[b"SET", &put.key, &put.value])
        } else {
            self.send(&[b"SET", &put.key, &put.value, b"PXAT", put.expiry_ms.to_string().as_bytes()])
        }
    }

    pub(super) fn delete(&mut self, key: &[u8]) -> Result<(), DemoError> {
        self.send(&[b"DEL", key])
    }

    pub(super) fn expire(&mut self, key: &[u8], expiry_ms: u64) -> Result<(), DemoError> {
        self.send(&[b"PEXPIREAT", key, expiry_ms.to_string().as_bytes()])
    }

    /// Until everything is answered.
    pub(super) fn finish(&mut self) -> Result<(), DemoError> {
        self.resp.flush()?;
        self.drain(0)
    }

    fn send(&mut self, args: &[&[u8]]) -> Result<(), DemoError> {
        let full = self.resp.queue(args);
        self.outstanding += 1;
        if full {
            self.resp.flush()?;
        }
        if self.outstanding >= PIPELINED_MAX {
            self.resp.flush()?;
            self.drain(PIPELINED_MAX / 2)?;
        }
        Ok(())
    }

    fn drain(&mut self, left: usize) -> Result<(), DemoError> {
        while self.outstanding > left {
            // `+OK` of a SET, `:1` of a DEL or PEXPIREAT of a key that is there
            let done = matches!(self.resp.reply()?, Reply::Simple(b"OK") | Reply::Integer(1));
            if !done {
                return Err(self.resp.garbled());
            }
            self.outstanding -= 1;
        }
        Ok(())
    }
}
