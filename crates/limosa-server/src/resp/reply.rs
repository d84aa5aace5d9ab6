//! Writes replies in the connection's protocol version behind the bytes that are already waiting.

use super::number::{push_i64, push_u64};

/// Version of the protocol that a client chose with HELLO.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Protocol {
    /// RESP2, what every connection starts with.
    #[default]
    Two,
    /// RESP3: maps, sets, null and verbatim strings have types of their own.
    Three,
}

impl Protocol {
    /// 2 or 3.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Two => 2,
            Self::Three => 3,
        }
    }
}

/// The end of a connection's output buffer.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    out: &'a mut Vec<u8>,
    /// How maps, sets and null are written.
    pub(crate) protocol: Protocol,
}

impl<'a> Reply<'a> {
    /// Writes behind what `out` holds.
    pub(crate) fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// Bytes waiting.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// Takes back everything behind the first `len` bytes: a command that failed half-way answers with its error alone.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
    }

    /// `+OK`.
    pub(crate) fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A status without line ends.
    pub(crate) fn simple(&mut self, text: &str) {
        self.line(b'+', text);
    }

    /// An error; its first word is its class. Line ends, which would break the protocol, become blanks.
    pub(crate) fn error(&mut self, text: &str) {
        self.out.push(b'-');
        self.out.extend(text.bytes().map(|byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte }));
        self.end_line();
    }

    /// An integer.
    pub(crate) fn int(&mut self, value: i64) {
        self.out.push(b':');
        push_i64(self.out, value);
        self.end_line();
    }

    /// A count; counts stay far below 2^63.
    pub(crate) fn count(&mut self, value: u64) {
        self.head(b':', value);
    }

    /// 1 or 0.
    pub(crate) fn bool_int(&mut self, value: bool) {
        self.out.extend_from_slice(if value { b":1\r\n" } else { b":0\r\n" });
    }

    /// A string.
    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 24);
        self.head(b'$', bytes.len() as u64);
        self.out.extend_from_slice(bytes);
        self.end_line();
    }

    /// The head of a string whose `bytes` bytes are sent apart; [`Reply::bulk_end`] follows.
    pub(crate) fn bulk_head(&mut self, bytes: u64) {
        self.head(b'$', bytes);
    }

    /// What stands behind a string's bytes.
    pub(crate) fn bulk_end(&mut self) {
        self.end_line();
    }

    /// A text that a person reads: marked so in RESP3.
    pub(crate) fn verbatim(&mut self, text: &str) {
        match self.protocol {
            Protocol::Two => self.bulk(text.as_bytes()),
            Protocol::Three => {
                self.head(b'=', text.len() as u64 + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text.as_bytes());
                self.end_line();
            }
        }
    }

    /// No value.
    pub(crate) fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Two => b"$-1\r\n",
            Protocol::Three => b"_\r\n",
        });
    }

    /// An array of `count` replies that follow.
    pub(crate) fn array(&mut self, count: usize) {
        self.head(b'*', count as u64);
    }

    /// A set of `count` replies that follow; an array in RESP2.
    pub(crate) fn set(&mut self, count: usize) {
        self.head(if self.protocol == Protocol::Three { b'~' } else { b'*' }, count as u64);
    }

    /// A map of `count` pairs that follow; an array of twice as many in RESP2.
    pub(crate) fn map(&mut self, count: usize) {
        match self.protocol {
            Protocol::Two => self.head(b'*', 2 * count as u64),
            Protocol::Three => self.head(b'%', count as u64),
        }
    }

    /// A string, or null.
    pub(crate) fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    fn head(&mut self, mark: u8, value: u64) {
        self.out.push(mark);
        push_u64(self.out, value);
        self.end_line();
    }

    fn line(&mut self, mark: u8, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']), "a status is one line");
        self.out.push(mark);
        self.out.extend_from_slice(text.as_bytes());
        self.end_line();
    }

    fn end_line(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Reply<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, protocol));
        String::from_utf8(out).expect("replies of this test are text")
    }

    #[test]
    fn each_protocol_writes_its_own_types() {
        type Write = fn(&mut Reply<'_>);
        let cases: [(Write, &str, &str); 8] = [
            (|r| r.null(), "$-1\r\n", "_\r\n"),
            (|r| r.map(2), "*4\r\n", "%2\r\n"),
            (|r| r.set(2), "*2\r\n", "~2\r\n"),
            (|r| r.verbatim("hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
            (|r| r.int(-12), ":-12\r\n", ":-12\r\n"),
            (|r| r.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (|r| r.error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
            (|r| r.simple("PONG"), "+PONG\r\n", "+PONG\r\n"),
        ];
        for (write, two, three) in cases {
            assert_eq!(written(Protocol::Two, write), two);
            assert_eq!(written(Protocol::Three, write), three);
        }
    }
}
