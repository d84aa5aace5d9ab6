//! A small pipelined RESP2 client over a blocking socket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::error::DemoError;

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 256 << 10;
/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;
/// A node that takes or gives no byte for so long is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// One reply, or the head of an array whose elements follow as replies of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reply<'a> {
    Simple(&'a [u8]),
    Integer(i64),
    Bulk(&'a [u8]),
    Null,
    Array(usize),
}

/// A connection to a node.
pub(super) struct Resp {
    node: &'static str,
    stream: TcpStream,
    out: Vec<u8>,
    input: Vec<u8>,
    start: usize,
    end: usize,
}

impl Resp {
    /// Connects to the node that people know as `node`.
    pub(super) fn connect(node: &'static str, address: SocketAddr) -> Result<Self, DemoError> {
        let connect = || {
            let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(SILENCE_MAX))?;
            stream.set_write_timeout(Some(SILENCE_MAX))?;
            Ok(stream)
        };
        let stream = connect().map_err(DemoError::broken(node))?;
        Ok(Self { node, stream, out: Vec::with_capacity(WRITE_BYTES), input: vec![0; READ_BYTES], start: 0, end: 0 })
    }

    /// Queues a command; true when it is time to [`Self::flush`].
    pub(super) fn queue(&mut self, args: &[&[u8]]) -> bool {
        let out = &mut self.out;
        write!(out, "*{}\r\n", args.len()).expect("a vector takes everything");
        for arg in args {
            write!(out, "${}\r\n", arg.len()).expect("a vector takes everything");
            out.extend_from_slice(arg);
            out.extend_from_slice(b"\r\n");
        }
        out.len() >= WRITE_BYTES
    }

    /// Sends what is queued.
    pub(super) fn flush(&mut self) -> Result<(), DemoError> {
        let written = self.stream.write_all(&self.out);
        self.out.clear();
        written.map_err(DemoError::broken(self.node))
    }

    /// The next reply. An error reply is an error: the demo asks for nothing that a node may refuse.
    pub(super) fn reply(&mut self) -> Result<Reply<'_>, DemoError> {
        let line = self.line()?;
        let (kind, text) = (self.input[line.start], line.start + 1..line.end);
        match kind {
            b'+' => Ok(Reply::Simple(&self.input[text])),
            b':' => Ok(Reply::Integer(self.number(text)?)),
            b'*' => self.number(text).map(|count| usize::try_from(count).map_or(Reply::Null, Reply::Array)),
            b'$' => match usize::try_from(self.number(text)?) {
                Err(_) => Ok(Reply::Null),
                Ok(length) => {
                    let bytes = self.bytes(length + 2)?;
                    Ok(Reply::Bulk(&self.input[bytes.start..bytes.end - 2]))
                }
            },
            b'-' => {
                let message = String::from_utf8_lossy(&self.input[text]).into_owned();
                Err(DemoError::Refused { node: self.node, message })
            }
            _ => Err(self.garbled()),
        }
    }

    /// One command and its reply.
    pub(super) fn call(&mut self, args: &[&[u8]]) -> Result<Reply<'_>, DemoError> {
        self.queue(args);
        self.flush()?;
        self.reply()
    }

    /// A reply that is not what was asked for.
    pub(super) fn garbled(&self) -> DemoError {
        DemoError::Refused { node: self.node, message: "something that is no answer to the question".to_owned() }
    }

    /// The next line without its end.
    fn line(&mut self) -> Result<std::ops::Range<usize>, DemoError> {
        let mut looked = 0;
        loop {
            let unread = &self.input[self.start..self.end];
            if let Some(at) = unread[looked..].iter().position(|byte| *byte == b'\n').map(|at| looked + at) {
                let line = self.start..(self.start + at).saturating_sub(1);
                self.start += at + 1;
                return if line.start < line.end { Ok(line) } else { Err(self.garbled()) };
            }
            looked = unread.len();
            self.fill()?;
        }
    }

    /// The next `count` bytes.
    fn bytes(&mut self, count: usize) -> Result<std::ops::Range<usize>, DemoError> {
        while self.end - self.start < count {
            if self.input.len() < count {
                self.input.resize(count + READ_BYTES, 0);
            }
            self.fill()?;
        }
        let bytes = self.start..self.start + count;
        self.start = bytes.end;
        Ok(bytes)
    }

    /// Reads more; what is unread moves to the front where there is no room behind it.
    fn fill(&mut self) -> Result<(), DemoError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.input.len() {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.input.len() {
                self.input.resize(self.end + READ_BYTES, 0);
            }
        }
        let count = self.stream.read(&mut self.input[self.end..]).map_err(DemoError::broken(self.node))?;
        if count == 0 {
            return Err(DemoError::Broken { node: self.node, source: io::ErrorKind::UnexpectedEof.into() });
        }
        self.end += count;
        Ok(())
    }

    fn number(&self, text: std::ops::Range<usize>) -> Result<i64, DemoError> {
        let text = std::str::from_utf8(&self.input[text]).ok();
        text.and_then(|text| text.parse().ok()).ok_or_else(|| self.garbled())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A connection to somebody who says `answer`, in pieces of `piece` bytes, whatever is asked.
    fn client(answer: Vec<u8>, piece: usize) -> Resp {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the client");
            stream.set_nodelay(true).expect("a socket option");
            answer.chunks(piece).for_each(|chunk| stream.write_all(chunk).expect("the client reads"));
        });
        Resp::connect("owner", address).expect("it listens")
    }

    #[test]
    fn replies_are_read_whole_however_they_arrive() {
        for piece in [1, 7, 1 << 20] {
            let answer = b"+OK\r\n:-42\r\n$0\r\n\r\n$-1\r\n*2\r\n$3\r\na\r\n\r\n:7\r\n".to_vec();
            let mut client = client(answer, piece);
            assert_eq!(client.reply().expect("a reply"), Reply::Simple(b"OK"));
            assert_eq!(client.reply().expect("a reply"), Reply::Integer(-42));
            assert_eq!(client.reply().expect("a reply"), Reply::Bulk(b""));
            assert_eq!(client.reply().expect("a reply"), Reply::Null);
            assert_eq!(client.reply().expect("a reply"), Reply::Array(2));
            assert_eq!(client.reply().expect("a reply"), Reply::Bulk(b"a\r\n"));
            assert_eq!(client.reply().expect("a reply"), Reply::Integer(7));
            assert_eq!(client.reply().expect_err("nothing more").code(), "demo.broken");
        }
    }

    #[test]
    fn a_value_larger_than_the_buffer_arrives() {
        let value = vec![b'x'; 3 * READ_BYTES + 17];
        let answer = [format!("+first\r\n${}\r\n", value.len()).as_bytes(), &value, b"\r\n+last\r\n"].concat();
        let mut client = client(answer, 100_000);
        assert_eq!(client.reply().expect("a reply"), Reply::Simple(b"first"));
        assert_eq!(client.reply().expect("a reply"), Reply::Bulk(&value));
        assert_eq!(client.reply().expect("a reply"), Reply::Simple(b"last"));
    }

    #[test]
    fn an_error_reply_and_nonsense_are_errors() {
        assert_eq!(client(b"-READONLY no\r\n".to_vec(), 9).reply().expect_err("an error").to_string(), "the owner answers: READONLY no");
        for nonsense in [&b"HTTP/1.1 400\r\n"[..], b"\r\n", b":seven\r\n", b"$x\r\n"] {
            assert_eq!(client(nonsense.to_vec(), 99).reply().expect_err("nonsense").code(), "demo.refused");
        }
    }
}
