//! One connection to a node, and what its answers mean to a cluster client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer, as far as a load needs it.
#[derive(Debug)]
pub(crate) enum Answer {
    Ok,
    Value(Option<Vec<u8>>),
}

/// What a node says to a command.
#[derive(Debug)]
pub(crate) enum Reply {
    Answer(Answer),
    /// Another port serves this slot; whether only this once (ASK).
    Moved(u16, bool),
    /// Refused before anything was done: the same may be asked again.
    Later(String),
    /// Any other error: what was asked may have been done.
    Error(String),
}

/// A connection; whatever fails on it ends it.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// To a loopback port; an answer that takes longer than `answer_max` is an error.
    pub(crate) fn open(port: u16, answer_max: Duration) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(answer_max)).map_err(|error| error.to_string())?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.0.get_mut().write_all(bytes).map_err(|error| error.to_string())
    }

    pub(crate) fn reply(&mut self) -> Result<Reply, String> {
        let head = self.line()?;
        let error = || Ok(Reply::Error(head.clone()));
        let words: Vec<&str> = head.split(' ').collect();
        match words[0] {
            "-MOVED" | "-ASK" => {
                let port = words.get(2).and_then(|address| address.rsplit(':').next()).and_then(|port| port.parse().ok());
                port.map_or_else(error, |port| Ok(Reply::Moved(port, words[0] == "-ASK")))
            }
            "-TRYAGAIN" | "-CLUSTERDOWN" | "-LOADING" => Ok(Reply::Later(head)),
            _ if head.starts_with('$') => self.bulk(&head[1..]).map(|value| Reply::Answer(Answer::Value(value))),
            _ if head.starts_with(['+', ':']) => Ok(Reply::Answer(Answer::Ok)),
            _ => error(),
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).map_err(|error| error.to_string())?;
        if read == 0 { Err("the connection was closed".into()) } else { Ok(line.trim_end().to_owned()) }
    }

    fn bulk(&mut self, length: &str) -> Result<Option<Vec<u8>>, String> {
        let Ok(length) = length.parse::<usize>() else { return Ok(None) };
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        bytes.truncate(length);
        Ok(Some(bytes))
    }
}
