//! The complete requests in a connection's buffer, found before the store's lock is taken.

use super::commands::table::{self, Command};
use super::error::CommandError;
use super::parser::{Parsed, Parser, ProtocolError, Span};
use super::stream_in::Expected;
use limosa_core::limits::WHOLE_VALUE_BYTES_MAX;

/// Most requests of one batch; what is behind them waits for the next.
const REQUESTS_MAX: usize = 4096;
/// Room for so many requests is kept while a client is silent.
const REQUESTS_KEPT: usize = 64;
/// Calls of at most so many arguments are lined up without an allocation.
const FEW_ARGS: usize = 16;

struct Request {
    /// Where the request starts in the buffer; `None`: its bytes lie in `Batch::inline`.
    start: Option<usize>,
    spans: std::ops::Range<usize>,
    command: Result<&'static Command, CommandError>,
    bytes: usize,
}

/// Requests of one connection, and the place inside the one that has not arrived whole.
#[derive(Default)]
pub(super) struct Batch {
    parser: Parser,
    requests: Vec<Request>,
    spans: Vec<Span>,
    inline: Vec<u8>,
    error: Option<ProtocolError>,
}

impl Batch {
    /// Drops the last batch and finds the requests of the next one in `buffer`; returns how many bytes they take.
    pub(super) fn fill(&mut self, buffer: &[u8]) -> usize {
        self.requests.clear();
        self.spans.clear();
        self.inline.clear();
        let mut at = 0;
        while self.requests.len() < REQUESTS_MAX && self.error.is_none() {
            match self.parser.read(&buffer[at..]) {
                Ok(Parsed::Partial) => break,
                Ok(Parsed::Array { consumed }) => {
                    self.push(Some(at), buffer, consumed);
                    at += consumed;
                }
                Ok(Parsed::Inline { consumed }) => {
                    self.push(None, buffer, consumed);
                    at += consumed;
                }
                Err(error) => self.error = Some(error),
            }
        }
        at
    }

    /// Gives the memory of a long batch back, behind its end.
    pub(super) fn rest(&mut self) {
        self.requests.clear();
        self.spans.clear();
        self.requests.shrink_to(REQUESTS_KEPT);
        self.spans.shrink_to(REQUESTS_KEPT * 4);
    }

    /// Notes the request that the parser has just read, unless it is empty.
    fn push(&mut self, start: Option<usize>, buffer: &[u8], bytes: usize) {
        if self.parser.spans().is_empty() {
            return;
        }
        let first = self.spans.len();
        match start {
            Some(_) => self.spans.extend_from_slice(self.parser.spans()),
            None => {
                for span in self.parser.spans() {
                    let from = self.inline.len();
                    self.inline.extend_from_slice(span.of(self.parser.inline_bytes()));
                    self.spans.push(Span::new(from, self.inline.len()));
                }
            }
        }
        let mut request = Request { start, spans: first..self.spans.len(), command: Err(CommandError::Syntax), bytes };
        request.command = self.lined_up(&request, buffer, table::resolve);
        self.requests.push(request);
    }

    /// The large argument whose bytes come next in the request that has not arrived whole; `buffer` starts with that request.
    pub(super) fn large(&self, buffer: &[u8]) -> Option<Expected> {
        let (index, start, bytes) = self.parser.expected()?;
        let expected = Expected { index, start, bytes };
        // few arguments come before a value, except for MSET's
        (bytes > WHOLE_VALUE_BYTES_MAX && self.expected_args(buffer, |args| expected.is_large(args))).then_some(expected)
    }

    /// Calls `run` with the arguments before the one that comes next.
    pub(super) fn expected_args<R>(&self, buffer: &[u8], run: impl FnOnce(&[&[u8]]) -> R) -> R {
        let args: Vec<_> = self.parser.spans().iter().map(|span| span.of(buffer)).collect();
        run(&args)
    }

    /// The argument that comes next was taken out of the buffer.
    pub(super) fn taken(&mut self) {
        self.parser.taken();
    }

    /// Number of requests.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// What broke the protocol behind the last request.
    pub(super) fn error(&self) -> Option<ProtocolError> {
        self.error
    }

    /// The command that request `index` calls.
    pub(super) fn command(&self, index: usize) -> Result<&'static Command, &CommandError> {
        self.requests[index].command.as_ref().copied()
    }

    /// Bytes of request `index`.
    pub(super) fn bytes(&self, index: usize) -> usize {
        self.requests[index].bytes
    }

    /// Calls `run` with the arguments of request `index`; `buffer` is the one that the batch was filled from.
    pub(super) fn with_args<R>(&self, index: usize, buffer: &[u8], run: impl FnOnce(&[&[u8]]) -> R) -> R {
        self.lined_up(&self.requests[index], buffer, run)
    }

    fn lined_up<R>(&self, request: &Request, buffer: &[u8], run: impl FnOnce(&[&[u8]]) -> R) -> R {
        let source = request.start.map_or(&self.inline[..], |start| &buffer[start..]);
        let spans = &self.spans[request.spans.clone()];
        if spans.len() > FEW_ARGS {
            let args: Vec<_> = spans.iter().map(|span| span.of(source)).collect();
            return run(&args);
        }
        let mut args: [&[u8]; FEW_ARGS] = [&[]; FEW_ARGS];
        for (arg, span) in args.iter_mut().zip(spans) {
            *arg = span.of(source);
        }
        run(&args[..spans.len()])
    }
}
