//! What happened, in order: a hash to compare worlds by, and, when a world is told, its lines for people.

use std::fmt::{self, Display, Write};

/// The trace of one world.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: Fnv,
    lines: Option<Vec<String>>,
}

/// FNV-1a: compared, never trusted.
#[derive(Debug)]
struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

impl Trace {
    pub(crate) fn new(is_kept: bool) -> Self {
        Self { hash: Fnv(0xcbf2_9ce4_8422_2325), lines: is_kept.then(Vec::new) }
    }

    /// Notes one thing that happened at `now_us`.
    pub(crate) fn note(&mut self, now_us: u64, what: impl Display) {
        write!(self.hash, "{now_us} {what}").expect("a hash takes every text");
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>7}.{:03} s  {what}", now_us / 1_000_000, now_us / 1_000 % 1_000));
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.0
    }

    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }
}

impl Drop for Trace {
    /// A panic ends the world: what led to it is told all the same.
    #[expect(clippy::print_stdout, reason = "nobody is left to hand it to")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.take_lines().iter().for_each(|line| println!("{line}"));
        }
    }
}

/// The first word of a value's text, its variant, without the rest being written.
pub(crate) fn word(value: &impl fmt::Debug) -> Word {
    let mut word = Word::default();
    let _ = write!(word, "{value:?}"); // ends early, by an error, behind the word
    word
}

/// A short word.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Word {
    bytes: [u8; 24],
    len: usize,
}

impl Write for Word {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if !byte.is_ascii_alphanumeric() || self.len == self.bytes.len() {
                return Err(fmt::Error);
            }
            self.bytes[self.len] = byte;
            self.len += 1;
        }
        Ok(())
    }
}

impl Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.bytes[..self.len]).expect("only letters and digits were kept"))
    }
}
