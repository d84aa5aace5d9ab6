//! Reads commands out of a connection's bytes, one at a time, without copying arguments and without believing a declared length.
//!
//! ```text
//! array:  '*' count CRLF, then count times  '$' length CRLF bytes CRLF
//! inline: anything else up to LF, split as a shell would
//! ```
//! A parser keeps its place inside a command that has not arrived whole, so bytes may come in any pieces and none is looked at twice.
//!
//! # Invariants
//! - Memory follows the bytes that arrived, never a declared count or length.
//! - The commands do not depend on how the bytes were split.

use limosa_core::limits::{COMMAND_ARGS_MAX, COMMAND_BYTES_MAX, USER_VALUE_BYTES_MAX};
use thiserror::Error;

use super::inline;
use super::number::parse_i64;

/// Longest line: an inline command, or the head of an array or of an argument.
pub const LINE_BYTES_MAX: usize = 64 << 10;

/// Where an argument lies, as offsets from a known start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// `start..end`.
    ///
    /// # Panics
    /// If an offset is beyond 4 GiB: commands are bounded far below.
    pub fn new(start: usize, end: usize) -> Self {
        let narrow = |offset| u32::try_from(offset).expect("offsets are bounded by COMMAND_BYTES_MAX");
        Self { start: narrow(start), end: narrow(end) }
    }

    /// The bytes that the span covers in `bytes`.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

const _: () = assert!(COMMAND_BYTES_MAX < u32::MAX as usize / 2);

/// The client broke the protocol: it is told and the connection ends. Texts as Redis words them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ProtocolError {
    /// The count of an array is no integer or above [`COMMAND_ARGS_MAX`].
    #[error("invalid multibulk length")]
    ArrayCount,
    /// The line with the count of an array does not end.
    #[error("too big mbulk count string")]
    ArrayLine,
    /// The line with the length of an argument does not end.
    #[error("too big bulk count string")]
    BulkLine,
    /// The length of an argument is no integer, negative, or above what a value or a command may have.
    #[error("invalid bulk length")]
    BulkLength,
    /// Something else where an argument should begin.
    #[error("expected '$', got '{}'", *.0 as char)]
    ExpectedBulk(u8),
    /// An inline command does not end.
    #[error("too big inline request")]
    InlineLine,
    /// An inline command's quotes do not match.
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
}

impl ProtocolError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        "resp.protocol"
    }

    /// The same bytes are refused again.
    pub fn retry(&self) -> limosa_core::Retry {
        limosa_core::Retry::Never
    }
}

/// What stands at the front of the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// The command has not arrived whole.
    Partial,
    /// An array command of `consumed` bytes; [`Parser::spans`] are offsets into them.
    Array {
        /// Bytes of the command.
        consumed: usize,
    },
    /// An inline command of `consumed` bytes; [`Parser::spans`] are offsets into [`Parser::inline_bytes`]. It may have no argument.
    Inline {
        /// Bytes of the command.
        consumed: usize,
    },
}

/// The place inside one command.
#[derive(Debug, Default)]
pub struct Parser {
    /// Bytes of the command that are dealt with.
    at: usize,
    /// Bytes behind `at` that hold no line end.
    searched: usize,
    /// Arguments still to come; `None` before the head of the array.
    missing: Option<usize>,
    /// Declared length of the argument whose bytes come next.
    bulk: Option<usize>,
    spans: Vec<Span>,
    inline: Vec<u8>,
    is_done: bool,
}

impl Parser {
    /// Arguments of the command read last.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// What the spans of an inline command point into.
    pub fn inline_bytes(&self) -> &[u8] {
        &self.inline
    }

    /// The argument whose bytes come next, when its length is known: which one, where its bytes start, and their number.
    pub fn expected(&self) -> Option<(usize, usize, usize)> {
        let bytes = self.bulk.filter(|_| !self.is_done)?;
        Some((self.spans.len(), self.at, bytes))
    }

    /// The expected argument, and the two bytes behind it, were taken out of the bytes: an empty one stands for it.
    ///
    /// # Panics
    /// If no argument is expected.
    pub fn taken(&mut self) {
        assert!(self.expected().is_some(), "an argument is expected");
        self.spans.push(Span::new(self.at, self.at));
        self.missing = self.missing.map(|missing| missing - 1);
        self.bulk = None;
    }

    /// Reads on. `bytes` starts where the command starts, also when an earlier call saw only a part of it.
    ///
    /// # Errors
    /// The bytes break the protocol; the parser is of no further use.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Parsed, ProtocolError> {
        if self.is_done {
            self.restart();
        }
        let parsed = match bytes.first() {
            None => Parsed::Partial,
            Some(b'*') => self.array(bytes)?,
            Some(_) => self.inline(bytes)?,
        };
        self.is_done = parsed != Parsed::Partial;
        Ok(parsed)
    }

    fn restart(&mut self) {
        (self.at, self.searched, self.missing, self.bulk, self.is_done) = (0, 0, None, None, false);
        self.spans.clear();
        self.inline.clear();
    }

    fn array(&mut self, bytes: &[u8]) -> Result<Parsed, ProtocolError> {
        let mut missing = match self.missing {
            Some(missing) => missing,
            None => match self.array_head(bytes)? {
                None => return Ok(Parsed::Partial),
                Some(count) => count,
            },
        };
        while missing > 0 {
            if !self.argument(bytes)? {
                self.missing = Some(missing);
                return Ok(Parsed::Partial);
            }
            missing -= 1;
        }
        Ok(Parsed::Array { consumed: self.at })
    }

    /// The number of arguments; a count below one is an empty command, as in Redis.
    fn array_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(line) = self.line(bytes, ProtocolError::ArrayLine)? else { return Ok(None) };
        let count = parse_i64(&line[1..]).ok_or(ProtocolError::ArrayCount)?;
        let count = usize::try_from(count).unwrap_or(0);
        if count > COMMAND_ARGS_MAX {
            return Err(ProtocolError::ArrayCount);
        }
        self.missing = Some(count);
        Ok(Some(count))
    }

    /// Whether one more argument is complete.
    fn argument(&mut self, bytes: &[u8]) -> Result<bool, ProtocolError> {
        let length = match self.bulk {
            Some(length) => length,
            None => match self.argument_head(bytes)? {
                None => return Ok(false),
                Some(length) => length,
            },
        };
        // Like Redis, the two bytes behind an argument are skipped unseen.
        if bytes.len() < self.at + length + 2 {
            self.bulk = Some(length);
            return Ok(false);
        }
        self.spans.push(Span::new(self.at, self.at + length));
        self.at += length + 2;
        self.bulk = None;
        Ok(true)
    }

    fn argument_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(line) = self.line(bytes, ProtocolError::BulkLine)? else { return Ok(None) };
        match line.first() {
            Some(b'$') => {}
            // Redis prints the byte in front of it, which for an empty line is the CR.
            other => return Err(ProtocolError::ExpectedBulk(other.copied().unwrap_or(b'\r'))),
        }
        let length = parse_i64(&line[1..]).and_then(|length| usize::try_from(length).ok()).ok_or(ProtocolError::BulkLength)?;
        if length > USER_VALUE_BYTES_MAX || self.at + length + 2 > COMMAND_BYTES_MAX {
            return Err(ProtocolError::BulkLength);
        }
        Ok(Some(length))
    }

    /// The line at the parser's place without its end; moves behind it. A line ends with CR and one more byte.
    fn line<'b>(&mut self, bytes: &'b [u8], too_long: ProtocolError) -> Result<Option<&'b [u8]>, ProtocolError> {
        let rest = &bytes[self.at..];
        let Some(end) = self.find(rest, b'\r') else {
            return if rest.len() > LINE_BYTES_MAX { Err(too_long) } else { Ok(None) };
        };
        if end > LINE_BYTES_MAX {
            return Err(too_long);
        }
        if end + 2 > rest.len() {
            self.searched = end;
            return Ok(None);
        }
        self.at += end + 2;
        Ok(Some(&rest[..end]))
    }

    /// Looks for `wanted` in what was not searched yet.
    fn find(&mut self, rest: &[u8], wanted: u8) -> Option<usize> {
        let found = rest[self.searched..].iter().position(|&byte| byte == wanted).map(|i| self.searched + i);
        self.searched = if found.is_some() { 0 } else { rest.len() };
        found
    }

    fn inline(&mut self, bytes: &[u8]) -> Result<Parsed, ProtocolError> {
        let Some(end) = self.find(bytes, b'\n') else {
            return if bytes.len() > LINE_BYTES_MAX { Err(ProtocolError::InlineLine) } else { Ok(Parsed::Partial) };
        };
        if end > LINE_BYTES_MAX {
            return Err(ProtocolError::InlineLine);
        }
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        inline::split(line, &mut self.inline, &mut self.spans).map_err(|_| ProtocolError::UnbalancedQuotes)?;
        Ok(Parsed::Inline { consumed: end + 1 })
    }
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
