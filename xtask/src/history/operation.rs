//! One operation as its client saw it.

/// (epoch, seq), compared in that order.
pub(crate) type Version = (u32, u64);

/// Which state of which fragment an answer spoke of: of a write the version that it got, of a read the fragment's newest that it saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) fragment: u32,
    pub(crate) version: Version,
}

/// What was asked, and of a read what it found. No two writes of a history have one value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Write(u64),
    /// The value's number; none where the key was absent.
    Read(Option<u64>),
}

/// One operation. A read that was not answered tells nothing and is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) key: u32,
    pub(crate) what: What,
    /// Nanoseconds of the history's clock.
    pub(crate) invoked: u64,
    /// The same; none of a write whose outcome is unknown.
    pub(crate) returned: Option<u64>,
    pub(crate) seen: Option<Seen>,
    /// Port of the node that answered.
    pub(crate) node: u16,
    /// It was asked of a copy (READONLY), which may be behind: a consistent state, but an older one.
    pub(crate) may_be_old: bool,
}

impl Operation {
    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let what = match self.what {
            What::Write(value) => format!("SET key {} = {}", self.key, value_text(value)),
            What::Read(Some(value)) => format!("GET key {} -> {}", self.key, value_text(value)),
            What::Read(None) => format!("GET key {} -> nothing", self.key),
        };
        let ms = |at: u64| format!("{}.{:03} ms", at / 1_000_000, at / 1_000 % 1_000);
        let seen = self.seen.map_or_else(String::new, |seen| format!(" at {}.{}.{}", seen.fragment, seen.version.0, seen.version.1));
        let returned = self.returned.map_or_else(|| "unknown".to_owned(), ms);
        format!("{} .. {returned}  {what}{seen} (port {}{})", ms(self.invoked), self.node, if self.may_be_old { ", a copy" } else { "" })
    }
}

/// A value's number as client and count.
fn value_text(value: u64) -> String {
    format!("c{}#{}", value >> 40, value & ((1 << 40) - 1))
}
