//! One direction of one connection: reads, does what the rules say, writes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::{Direction, Fault, Rule, Rules};

const PIECE_BYTES: usize = 16 << 10;
const DRIBBLE_BYTES: usize = 64;
const DRIBBLE_PAUSE: Duration = Duration::from_millis(2);

/// Bytes of one direction.
pub(super) struct Pump {
    pub(super) from: TcpStream,
    pub(super) to: TcpStream,
    pub(super) direction: Direction,
    /// The node that made the connection.
    pub(super) dialer: Option<String>,
    pub(super) rules: Arc<Rules>,
}

impl Pump {
    /// Until the connection ends; its other direction ends with it.
    pub(super) fn run(mut self) {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match self.from.read(&mut piece) {
                Ok(count) if count > 0 && self.pass(&mut piece[..count]).is_some() => {}
                _ => break,
            }
        }
        for stream in [&self.from, &self.to] {
            let _ = stream.shutdown(Shutdown::Both); // it may have ended already
        }
    }

    /// Passes a piece on; none where the connection is over.
    fn pass(&mut self, piece: &mut [u8]) -> Option<()> {
        let Some(rule) = self.next_rule()? else { return self.write(piece) };
        match rule.fault {
            Fault::Delay(time) => {
                std::thread::sleep(time);
                self.write(piece)
            }
            Fault::Hold => unreachable!("waited out"),
            Fault::Drop => self.drop_all(&rule, piece),
            Fault::Dribble => piece.chunks(DRIBBLE_BYTES).try_for_each(|few| {
                if self.rules.is_in_force(&rule) {
                    std::thread::sleep(DRIBBLE_PAUSE);
                }
                self.to.write_all(few).ok()
            }),
            Fault::Duplicate => {
                self.write(piece)?;
                self.write(piece)
            }
            Fault::Truncate => {
                let half = piece.len() / 2;
                self.write(&piece[..half])?;
                None
            }
            Fault::Flip => {
                let middle = piece.len() / 2;
                piece[middle] ^= 0x10;
                self.write(piece)
            }
            Fault::Reset => None,
        }
    }

    /// What is to be done to a piece once nothing holds it any more; none where the connection has ended meanwhile.
    fn next_rule(&self) -> Option<Option<Rule>> {
        loop {
            match self.rules.take(self.direction, self.dialer.as_deref()) {
                Some(rule) if rule.fault == Fault::Hold => self.rules.wait_out(&rule, || self.is_open()),
                other => return Some(other),
            }
            if !self.is_open() {
                return None;
            }
        }
    }

    /// Takes bytes and throws them away until it is over: what was lost can't come any more, so the connection is over too.
    fn drop_all(&mut self, rule: &Rule, piece: &mut [u8]) -> Option<()> {
        let _ = self.from.set_read_timeout(Some(super::LOOK)); // without it the end of the rule is seen with the next bytes
        while self.rules.is_in_force(rule) {
            match self.from.read(piece) {
                Ok(0) => break,
                Err(error) if !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => break,
                _ => {}
            }
        }
        None
    }

    fn write(&mut self, bytes: &[u8]) -> Option<()> {
        self.to.write_all(bytes).ok()
    }

    /// Whether who sends is still there: a closed end has nothing to wait for.
    fn is_open(&self) -> bool {
        self.to.peer_addr().is_ok() && self.from.peer_addr().is_ok()
    }
}
