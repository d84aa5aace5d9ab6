//! The same commands to a real Redis 7 and to us: every reply must have the same bytes.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use super::client::{Client, door};

struct Redis {
    process: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A Redis 7 on a free loopback port; `None` if this machine has none.
#[expect(clippy::print_stderr, reason = "the one place where a test says why it did nothing")]
fn redis() -> Option<Redis> {
    let version = Command::new("redis-server").arg("--version").output().map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
    if !version.as_ref().is_ok_and(|version| version.contains("v=7.")) {
        eprintln!("skipped: no redis-server 7 on this machine ({version:?})");
        return None;
    }
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("loopback has a free port").port();
    let dir = tempfile::tempdir().expect("a folder for Redis");
    let log = dir.path().join("log");
    let mut process = Command::new("redis-server");
    process.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(dir.path());
    let process = process.stdout(File::create(&log).expect("a log file")).stderr(Stdio::null()).spawn().expect("redis-server starts");
    let mut redis = Redis { process, address: SocketAddr::from(([127, 0, 0, 1], port)), _dir: dir };
    loop {
        let lines = BufReader::new(File::open(&log).expect("the log file")).lines();
        if lines.map_while(Result::ok).any(|line| line.contains("Ready to accept connections")) {
            return Some(redis);
        }
        assert!(redis.process.try_wait().is_ok_and(|status| status.is_none()), "redis-server ended");
        std::thread::yield_now();
    }
}

/// Commands by topic, one per line, words separated by single blanks; `@` at the start of a line begins with an empty keyspace.
const TRANSCRIPT: &str = include_str!("transcript.txt");

#[test]
fn every_reply_has_the_bytes_of_redis() {
    let Some(redis) = redis() else { return };
    let door = door();
    for protocol in ["HELLO 2", "HELLO 3"] {
        let mut ours = door.client();
        let mut theirs = Client::connect(redis.address).expect("Redis listens");
        ours.call(protocol);
        theirs.call(protocol);
        let mut differing = vec![];
        for line in TRANSCRIPT.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let line = match line.strip_prefix('@') {
                Some(line) => {
                    assert_eq!((ours.call("FLUSHALL"), theirs.call("FLUSHALL")), ("+OK\r\n".to_owned(), "+OK\r\n".to_owned()));
                    line
                }
                None => line,
            };
            let (a, b) = (ours.call(line), theirs.call(line));
            if a != b {
                differing.push(format!("{line}\n   limosa {a:?}\n   redis  {b:?}"));
            }
        }
        assert!(differing.is_empty(), "{protocol}:\n{}", differing.join("\n"));
    }
}

#[test]
fn broken_requests_are_answered_with_the_bytes_of_redis() {
    let Some(redis) = redis() else { return };
    let door = door();
    let long = [b"PING ".as_slice(), &[b'a'; 70 << 10]].concat();
    let cases: [&[u8]; 22] = [
        b"*a\r\n",
        b"*-1\r\nPING\r\n*x\r\n",
        b"*0\r\nPING\r\n*x\r\n",
        b"*01\r\n",
        b"* 1\r\n",
        b"*1\r\nPING\r\n",
        b"*1\r\n$a\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n\r\n$4\r\n",
        b"*1\r\n:4\r\nPING\r\n",
        b"*2\r\n$4\r\nPING\r\nx\r\n",
        b"SET \"a\r\n",
        b"SET 'a\r\n",
        b"SET \"a\"b c\r\n",
        b"SET \"a\\x41\\n\" \"b\"\r\nGET 'aA\n'\r\nGET aA\r\n\"",
        b"SET k\tv\r\nGET k\r\n'\r\n",
        b"\r\n\n  \r\nPING\r\n'\r\n",
        b"ping\nPING\r\n'\n",
        b"*2147483648\r\n",
        b"*1\r\n$4\r\nPINGxx*1\r\n$1\r\nx\r\n*x\r\n",
        &long,
    ];
    for bytes in cases {
        let replies = |address| {
            let mut client = Client::connect(address).expect("the server listens");
            client.send(bytes);
            let mut replies = vec![];
            loop {
                match client.reply() {
                    end if end.is_empty() => return replies,
                    reply => replies.push(reply),
                }
            }
        };
        assert_eq!(replies(door.address), replies(redis.address), "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(60)]));
    }
}
