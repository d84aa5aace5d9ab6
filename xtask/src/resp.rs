//! A small Redis client: enough to load, overwrite and ask.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Commands on their way before their answers are read: their answers fit the socket's buffers.
const PIPELINE: u64 = 500;

pub(crate) struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Result<Self, String> {
        let writer = TcpStream::connect(("127.0.0.1", port)).map_err(|error| format!("can't connect to port {port}: {error}"))?;
        let describe = |error: std::io::Error| format!("port {port}: {error}");
        writer.set_nodelay(true).map_err(describe)?;
        writer.set_read_timeout(Some(Duration::from_secs(120))).map_err(describe)?;
        Ok(Self { reader: BufReader::new(writer.try_clone().map_err(describe)?), writer })
    }

    /// Sends one command, returns its answer: a status, an integer or a string as text.
    pub(crate) fn ask(&mut self, args: &[&str]) -> Result<String, String> {
        let mut request = Vec::new();
        put_command(&mut request, &args.iter().map(|arg| arg.as_bytes()).collect::<Vec<_>>());
        self.send(&request)?;
        let head = self.line()?;
        match head.split_at_checked(1) {
            Some(("$", length)) => self.bulk(length),
            Some(("+" | ":", text)) => Ok(text.to_owned()),
            _ => Err(format!("{}: {head}", args.join(" "))),
        }
    }

    /// Writes `values(i)` under `key_of(i)` for each `i` of `keys`.
    pub(crate) fn load(&mut self, keys: std::ops::Range<u64>, value_bytes: usize, random: &mut Random) -> Result<(), String> {
        let (mut request, mut value, mut sent) = (Vec::new(), vec![0; value_bytes], 0);
        for i in keys.clone() {
            random.fill(&mut value);
            put_command(&mut request, &[b"SET", key_of(i).as_bytes(), &value]);
            sent += 1;
            if sent == PIPELINE || i + 1 == keys.end {
                self.send(&request)?;
                (0..sent).try_for_each(|_| self.expect_ok())?;
                request.clear();
                sent = 0;
            }
        }
        Ok(())
    }

    /// SET of any bytes, which are not copied.
    pub(crate) fn set_bytes(&mut self, key: &str, value: &[u8]) -> Result<(), String> {
        self.send(format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), value.len()).as_bytes())?;
        self.send(value)?;
        self.send(b"\r\n")?;
        self.expect_ok()
    }

    /// GET, compared piece by piece with what it must answer.
    pub(crate) fn expect_bytes(&mut self, key: &str, value: &[u8]) -> Result<(), String> {
        let mut request = Vec::new();
        put_command(&mut request, &[b"GET", key.as_bytes()]);
        self.send(&request)?;
        let head = self.line()?;
        if head != format!("${}", value.len()) {
            return Err(format!("GET {key}: {head}"));
        }
        let mut piece = vec![0; 1 << 20];
        for expected in value.chunks(piece.len()).chain([&b"\r\n"[..]]) {
            let piece = &mut piece[..expected.len()];
            self.reader.read_exact(piece).map_err(|error| format!("the server went away: {error}"))?;
            if *piece != *expected {
                return Err(format!("GET {key} answers with other bytes than were set"));
            }
        }
        Ok(())
    }

    fn expect_ok(&mut self) -> Result<(), String> {
        let line = self.line()?;
        if line == "+OK" { Ok(()) } else { Err(format!("SET: {line}")) }
    }

    fn send(&mut self, request: &[u8]) -> Result<(), String> {
        self.writer.write_all(request).map_err(|error| format!("the server went away: {error}"))
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).map_err(|error| format!("the server went away: {error}"))?;
        if read == 0 { Err("the server closed the connection".into()) } else { Ok(line.trim_end().to_owned()) }
    }

    fn bulk(&mut self, length: &str) -> Result<String, String> {
        let Ok(length) = length.parse::<usize>() else { return Ok(String::new()) }; // absent
        let mut bytes = vec![0; length + 2];
        self.reader.read_exact(&mut bytes).map_err(|error| format!("the server went away: {error}"))?;
        bytes.truncate(length);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The key of entry `i`: 16 bytes.
pub(crate) fn key_of(i: u64) -> String {
    format!("key:{i:012}")
}

/// Bytes of [`key_of`].
pub(crate) const KEY_BYTES: u64 = 16;

pub(crate) fn put_command(out: &mut Vec<u8>, args: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// Bytes that do not compress: `SplitMix64`.
pub(crate) struct Random(pub(super) u64);

impl Random {
    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        for piece in out.chunks_mut(8) {
            piece.copy_from_slice(&self.next().to_le_bytes()[..piece.len()]);
        }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }
}
