//! A conversation as text, and back.

use std::fmt::{self, Display};

use bytes::Bytes;
use thiserror::Error;

use super::fields::{fields, hex};
use crate::{Message, decode};

/// Which end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// It wants the state, dials, and speaks first.
    Target,
    /// It has the state.
    Source,
}

/// Who was written something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// The source, and the target has followed: before whatever the ends were written apart.
    Both,
    /// The source alone.
    Source,
    /// The target alone, in an epoch of its own.
    Target,
}

impl Whose {
    fn word(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// A write, a commit of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// Whose.
    pub whose: Whose,
    /// The user's key.
    pub key: String,
    /// Its value as it is written; `None` deletes the key.
    pub value: Option<String>,
}

impl Written {
    /// The value's bytes: as they are written, or `3000*a` for so many times that letter. `None` deletes the key.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let value = self.value.as_ref()?;
        let repeated = value.split_once('*').and_then(|(count, what)| Some(what.as_bytes().repeat(count.parse().ok()?)));
        Some(repeated.unwrap_or_else(|| value.clone().into_bytes()))
    }
}

/// What crosses.
#[derive(Clone, PartialEq, Debug)]
pub enum Said {
    /// A message.
    Message(Box<Message>),
    /// Bytes that are no message.
    Raw(Bytes),
    /// The connection is closed.
    End,
    /// Nothing: the source is written something here.
    Writes(Written),
    /// What makes the target say that it leaves these fragments.
    Leaves(Vec<u32>),
}

/// One step.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// Who speaks.
    pub from: Side,
    /// What it says.
    pub said: Said,
    /// The message's bytes as they were recorded.
    pub bytes: Bytes,
    /// Names of fields that may be otherwise; one that ends with `*` stands for all that begin so.
    pub free: Vec<String>,
}

impl Line {
    /// Whether the field may be otherwise.
    pub fn is_free(&self, field: &str) -> bool {
        self.free.iter().any(|free| free.strip_suffix('*').map_or(free == field, |start| field.starts_with(start)))
    }
}

/// A session.
#[derive(Clone, PartialEq, Debug)]
pub struct Conversation {
    /// What it shows, in one sentence.
    pub about: String,
    /// Fragments of equal slots, at both ends.
    pub fragments: u16,
    /// What the session is about; empty: all.
    pub scope: Vec<u32>,
    /// The target's part is sent as it stands, its free fields aside; otherwise a whole target speaks.
    pub is_verbatim: bool,
    /// What the ends were written before.
    pub written: Vec<Written>,
    /// What is said, in order.
    pub lines: Vec<Line>,
}

/// A text that is no conversation.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("line {line}: {why}")]
pub struct TextFault {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl Conversation {
    /// Reads one.
    ///
    /// # Errors
    /// The first line that is none of the known ones, or whose bytes are no message.
    pub fn parse(text: &str) -> Result<Self, TextFault> {
        let mut found =
            Self { about: String::new(), fragments: 1, scope: Vec::new(), is_verbatim: false, written: Vec::new(), lines: Vec::new() };
        for (at, line) in text.lines().enumerate() {
            found.take(line).map_err(|why| TextFault { line: at + 1, why })?;
        }
        Ok(found)
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        if let Some(field) = line.strip_prefix("    ") {
            let free = field.split_once(" * ").map(|(name, _)| name.to_owned());
            let last = self.lines.last_mut().ok_or("a field of no message")?;
            last.free.extend(free);
            return Ok(());
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "" | "#" => {}
            "about" => rest.clone_into(&mut self.about),
            "fragments" => self.fragments = rest.parse().map_err(|_| "no number of fragments".to_owned())?,
            "scope" => self.scope = ids(rest)?,
            "verbatim" => self.is_verbatim = true,
            "both" | "source" | "target" => self.written.push(written(line)?),
            "*" => self.lines.push(step(rest)?),
            ">" => self.lines.push(said(Side::Target, rest)?),
            "<" => self.lines.push(said(Side::Source, rest)?),
            other => return Err(format!("{other} begins no line")),
        }
        Ok(())
    }
}

fn written(line: &str) -> Result<Written, String> {
    let words: Vec<&str> = line.split(' ').collect();
    let (whose, key, value) = match words[..] {
        [whose, "set", key, value] => (whose, key, Some(value.to_owned())),
        [whose, "del", key] => (whose, key, None),
        _ => return Err("neither `set KEY VALUE` nor `del KEY`".to_owned()),
    };
    let whose = [Whose::Both, Whose::Source, Whose::Target].into_iter().find(|known| known.word() == whose);
    Ok(Written { whose: whose.ok_or("nobody of this name is written anything")?, key: key.to_owned(), value })
}

fn ids(text: &str) -> Result<Vec<u32>, String> {
    text.split(' ').map(str::parse).collect::<Result<_, _>>().map_err(|_| "these are no numbers of fragments".to_owned())
}

fn words(ids: &[u32]) -> String {
    ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}

fn step(rest: &str) -> Result<Line, String> {
    let (from, said) = match rest.strip_prefix("target leaves ") {
        Some(fragments) => (Side::Target, Said::Leaves(ids(fragments)?)),
        None => (Side::Source, Said::Writes(written(rest)?)),
    };
    Ok(Line { from, said, bytes: Bytes::new(), free: Vec::new() })
}

fn said(from: Side, rest: &str) -> Result<Line, String> {
    let (kind, digits) = rest.split_once(' ').unwrap_or((rest, ""));
    let bytes = Bytes::from(from_hex(digits).ok_or("bytes are written in hexadecimal")?);
    let said = match kind {
        "!end" => Said::End,
        "!raw" => Said::Raw(bytes.clone()),
        _ => {
            let (message, _) = decode(bytes.clone()).map_err(|error| error.to_string())?;
            if word(&message) != kind {
                return Err(format!("the bytes are those of {}", word(&message)));
            }
            Said::Message(Box::new(message))
        }
    };
    Ok(Line { from, said, bytes, free: Vec::new() })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| if let [high, low] = *pair { Some(digit(high)? << 4 | digit(low)?) } else { None }).collect()
}

/// The kind of a message in one word.
pub fn word(message: &Message) -> &'static str {
    match message {
        Message::Hello(_) => "hello",
        Message::Offer(_) => "offer",
        Message::Have(_) => "have",
        Message::Plan(_) => "plan",
        Message::Frame(_) => "frame",
        Message::Ack(_) => "ack",
        Message::Symbols(_) => "symbols",
        Message::Differ(_) => "differ",
        Message::Seal(_) => "seal",
        Message::Ready(_) => "ready",
        Message::Live(_) => "live",
        Message::Refuse(_) => "refuse",
        Message::Close(_) => "close",
        Message::Ping => "ping",
        Message::Fetch(_) => "fetch",
        Message::Fetched(_) => "fetched",
        Message::Leave(_) => "leave",
        Message::Greet(_) => "greet",
        Message::Ownership(_) => "ownership",
    }
}

impl Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "about {}\nfragments {}", self.about, self.fragments)?;
        if !self.scope.is_empty() {
            writeln!(f, "scope {}", words(&self.scope))?;
        }
        if self.is_verbatim {
            writeln!(f, "verbatim")?;
        }
        self.written.iter().try_for_each(|written| writeln!(f, "{written}"))?;
        writeln!(f)?;
        self.lines.iter().try_for_each(|line| write!(f, "{line}"))
    }
}

impl Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whose, key) = (self.whose.word(), &self.key);
        match &self.value {
            Some(value) => write!(f, "{whose} set {key} {value}"),
            None => write!(f, "{whose} del {key}"),
        }
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = if self.from == Side::Target { '>' } else { '<' };
        match &self.said {
            Said::End => writeln!(f, "{arrow} !end"),
            Said::Writes(written) => writeln!(f, "* {written}"),
            Said::Leaves(ids) => writeln!(f, "* target leaves {}", words(ids)),
            Said::Raw(bytes) => writeln!(f, "{arrow} !raw {}", hex(bytes)),
            Said::Message(message) => {
                writeln!(f, "{arrow} {} {}", word(message), hex(&self.bytes))?;
                for (name, value) in fields(message) {
                    writeln!(f, "    {name} {} {value}", if self.is_free(&name) { '*' } else { '=' })?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ack, Context, encode};

    #[test]
    fn a_conversation_survives_its_text_and_faults_name_their_line() {
        let ack = Message::Ack(Ack { frames: 1, frame_bytes: 90, live: 3, live_bytes: 0 });
        let bytes = encode(&ack, &Context::default()).expect("small").to_bytes();
        let free = vec!["live".to_owned()];
        let line = |said, bytes, free| Line { from: Side::Target, said, bytes, free };
        let conversation = Conversation {
            about: "Three lines.".to_owned(),
            fragments: 2,
            scope: vec![0],
            is_verbatim: true,
            written: vec![Written { whose: Whose::Both, key: "k".to_owned(), value: None }],
            lines: vec![
                line(Said::Message(Box::new(ack)), bytes, free),
                line(Said::Raw(Bytes::from_static(b"\0")), Bytes::from_static(b"\0"), vec![]),
                line(Said::Leaves(vec![0, 7]), Bytes::new(), vec![]),
                Line { from: Side::Source, said: Said::End, bytes: Bytes::new(), free: vec![] },
            ],
        };
        let text = conversation.to_string();
        assert_eq!(Conversation::parse(&text), Ok(conversation));
        assert!(text.contains("    live * 3\n") && text.contains("    live_bytes = 0\n"), "{text}");
        for (wrong, line) in [("> ack 00", 1), ("about x\n> have", 2), ("source put a b", 1), ("    a = b", 1), ("what", 1)] {
            assert_eq!(Conversation::parse(wrong).expect_err(wrong).line, line);
        }
    }
}
