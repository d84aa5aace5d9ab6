//! A message as a flat list of named fields, in one order: what people read and what is compared.

use std::fmt::{Display, Write};

use limosa_core::varint::Reader;
use limosa_core::{Commit, Digest, EntryRef, EpochTable, FragmentId, Frame, History, KeyRange, RangeDelete};

use crate::message::{Differ, HaveFragment, Hello, Live, Message, Offer, OfferedFragment, Purpose, Seal};

type List = Vec<(String, String)>;

/// The fields of a message of a session; of a control lane's only what [`std::fmt::Debug`] says.
pub fn fields(message: &Message) -> List {
    let mut out = Fields::default();
    match message {
        Message::Hello(hello) => out.hello(hello),
        Message::Offer(offer) => out.offer(offer),
        Message::Have(have) => {
            have.fragments.iter().enumerate().for_each(|(at, fragment)| out.have(&format!("fragments[{at}]."), fragment));
            out.put("last", have.last);
        }
        Message::Plan(plan) => {
            for (at, item) in plan.items.iter().enumerate() {
                let name = |field: &str| format!("items[{at}].{field}");
                out.put(&name("fragment"), item.fragment.0);
                out.put(&name("method"), item.method.word());
                out.put(&name("entries"), item.entries);
                out.put(&name("bytes"), item.bytes);
                out.put(&name("reason"), &item.reason);
                if let Some(part) = &item.range {
                    out.put(&name("range"), range(part));
                }
            }
        }
        Message::Frame(message) => {
            out.put("number", message.number);
            message.drops.iter().enumerate().for_each(|(at, id)| out.put(&format!("drops[{at}]"), format!("{id:016x}")));
            out.frame(&message.frame);
        }
        Message::Ack(ack) => {
            out.put("frames", ack.frames);
            out.put("frame_bytes", ack.frame_bytes);
            out.put("live", ack.live);
            out.put("live_bytes", ack.live_bytes);
        }
        Message::Symbols(symbols) => {
            out.put("level", format!("{:?}", symbols.level));
            out.put("first", symbols.first);
            out.put("total", symbols.total);
            out.put("symbols", hex(&symbols.symbols));
        }
        Message::Differ(differ) => out.differ(differ),
        Message::Seal(seal) => out.seal(seal),
        Message::Ready(ready) => out.put("position", ready.position),
        Message::Live(live) => out.live(live),
        Message::Refuse(refuse) => {
            out.put("fragment", refuse.fragment.0);
            out.put("range", range(&refuse.range));
            out.put("why", format!("{:?}", refuse.why));
            out.put("detail", &refuse.detail);
        }
        Message::Close(close) => {
            out.put("code", &close.code);
            out.put("detail", &close.detail);
            out.put("retry", close.retry);
        }
        Message::Leave(leave) => out.fragments("fragments", &leave.fragments),
        Message::Ping => {}
        other => out.put("message", format!("{other:?}")),
    }
    out.0
}

#[derive(Default)]
struct Fields(List);

impl Fields {
    fn put(&mut self, name: &str, value: impl Display) {
        self.0.push((name.to_owned(), value.to_string()));
    }

    fn fragments(&mut self, name: &str, fragments: &[FragmentId]) {
        self.put(name, fragments.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(" "));
    }

    fn hello(&mut self, hello: &Hello) {
        self.put("wire_version_min", hello.wire_versions.0);
        self.put("wire_version_max", hello.wire_versions.1);
        self.put("features", format!("{:b}", hello.features));
        self.put("cluster", hex(&hello.cluster));
        self.put("node", &hello.node);
        self.put("incarnation", hello.incarnation);
        self.put("space_keys", format!("{:016x}", hello.space_keys));
        self.put("credit_window", hello.credit_window);
        self.put("epoch_max", hello.epoch_max);
        self.put("shared", digest(hello.shared));
        self.fragments("scope", &hello.scope);
        if let Purpose::Collect { epoch } = hello.purpose {
            self.put("collect_epoch", epoch);
        }
    }

    fn offer(&mut self, offer: &Offer) {
        self.put("wire_version", offer.wire_version);
        self.put("features", format!("{:b}", offer.features));
        self.put("session", format!("{:016x}", offer.session));
        self.put("equal", offer.equal);
        offer.fragments.iter().enumerate().for_each(|(at, fragment)| self.offered(&format!("fragments[{at}]."), fragment));
    }

    fn offered(&mut self, at: &str, fragment: &OfferedFragment) {
        self.put(&format!("{at}id"), fragment.id.0);
        self.put(&format!("{at}range"), range(&fragment.range));
        self.put(&format!("{at}head"), fragment.head);
        self.put(&format!("{at}state"), digest(fragment.state));
        self.put(&format!("{at}live"), fragment.live);
        self.put(&format!("{at}live_bytes"), fragment.live_bytes);
        self.put(&format!("{at}floor"), fragment.floor);
        self.history(at, &fragment.epochs);
    }

    fn have(&mut self, at: &str, fragment: &HaveFragment) {
        self.put(&format!("{at}id"), fragment.id.0);
        self.put(&format!("{at}head"), fragment.head);
        self.put(&format!("{at}state"), digest(fragment.state));
        self.put(&format!("{at}live"), fragment.live);
        self.put(&format!("{at}common"), fragment.common);
        for (interval, version) in fragment.map.iter() {
            self.put(&format!("{at}map {}", range(&interval)), version);
        }
        fragment.own_keys.iter().enumerate().for_each(|(i, key)| self.put(&format!("{at}own_keys[{i}]"), text(key)));
        for (i, part) in fragment.parts.iter().enumerate() {
            self.put(&format!("{at}parts[{i}]"), format!("{} head {} common {}", text(&part.start), part.head, part.common));
        }
    }

    fn frame(&mut self, frame: &Frame) {
        self.put("fragment", frame.fragment.0);
        self.put("mode", format!("{:?}", frame.mode));
        self.put("range", range(&frame.range));
        self.put("from", frame.from);
        self.put("to", frame.to);
        self.put("digest", digest(frame.digest));
        frame.range_deletes.iter().for_each(|delete| self.range_delete("", delete));
        frame.entries.iter().for_each(|found| self.entry("", &found));
    }

    fn range_delete(&mut self, at: &str, delete: &RangeDelete) {
        self.put(&format!("{at}range_delete {}", range(&delete.range)), delete.version);
    }

    fn entry(&mut self, at: &str, entry: &EntryRef<'_>) {
        let value = entry.live.map_or_else(
            || "deleted".to_owned(),
            |live| format!("{} kind {} expiry {}", text(live.value), live.kind.code(), live.expiry.millis()),
        );
        self.put(&format!("{at}entry {}", text(entry.key)), format!("{} {value}", entry.version));
    }

    fn differ(&mut self, differ: &Differ) {
        match differ {
            Differ::More { level, first, count } => {
                self.put("more", format!("{level:?}"));
                self.put("first", first);
                self.put("count", count);
            }
            Differ::Found { level, target_only } => {
                self.put("found", format!("{level:?}"));
                target_only.iter().enumerate().for_each(|(at, id)| self.put(&format!("target_only[{at}]"), format!("{id:016x}")));
            }
            Differ::List { level } => self.put("list", format!("{level:?}")),
        }
    }

    fn seal(&mut self, seal: &Seal) {
        self.put("position", seal.position);
        for (at, fragment) in seal.fragments.iter().enumerate() {
            let at = format!("fragments[{at}].");
            self.put(&format!("{at}id"), fragment.id.0);
            self.put(&format!("{at}head"), fragment.head);
            self.put(&format!("{at}state"), digest(fragment.state));
            self.put(&format!("{at}floor"), fragment.floor);
            self.history(&at, &fragment.epochs);
        }
    }

    fn live(&mut self, live: &Live) {
        self.put("upto", live.upto);
        let mut reader = Reader::new(&live.records);
        let mut index = 0;
        while let Ok(record) = reader.bytes_max("live.record", live.records.len())
            && let Ok(commit) = Commit::decode(&mut Reader::new(record))
        {
            self.commit(&format!("records[{index}]."), &commit);
            index += 1;
        }
        if !reader.is_empty() {
            self.put("records", format!("{} bytes that are no commits", reader.rest().len()));
        }
        live.epochs.iter().for_each(|(id, table)| self.epochs(&format!("epochs[{}].", id.0), table));
        live.checks.iter().for_each(|(id, version, state)| self.put(&format!("checks[{}] {version}", id.0), digest(*state)));
        live.floors.iter().for_each(|(id, floor)| self.put(&format!("floors[{}]", id.0), floor));
        if !live.reframe.is_empty() {
            self.put("reframe", hex(&live.reframe));
        }
    }

    fn commit(&mut self, at: &str, commit: &Commit<'_>) {
        self.put(&format!("{at}stamp"), commit.stamp_ms);
        for part in &commit.parts {
            let at = format!("{at}parts[{}].", part.fragment.0);
            self.put(&format!("{at}version"), part.version);
            part.range_deletes.iter().for_each(|delete| self.range_delete(&at, delete));
            part.entries.iter().for_each(|entry| self.entry(&at, entry));
        }
    }

    fn history(&mut self, at: &str, history: &History) {
        let [only] = history.strands() else {
            for (i, strand) in history.strands().iter().enumerate() {
                self.put(&format!("{at}strands[{i}].start"), text(&strand.start));
                self.put(&format!("{at}strands[{i}].floor"), strand.floor);
                self.epochs(&format!("{at}strands[{i}]."), &strand.epochs);
            }
            return;
        };
        self.epochs(at, &only.epochs);
    }

    fn epochs(&mut self, at: &str, table: &EpochTable) {
        for (i, row) in table.rows().iter().enumerate() {
            self.put(&format!("{at}rows[{i}].epoch"), row.epoch);
            self.put(&format!("{at}rows[{i}].first_seq"), row.first_seq);
            self.put(&format!("{at}rows[{i}].opener"), format!("{:016x}", row.opener));
        }
    }
}

fn digest(digest: Digest) -> String {
    hex(&digest.to_bytes())
}

fn range(range: &KeyRange) -> String {
    let end = range.end.as_ref().map_or_else(|| "∞".to_owned(), |end| text(end));
    format!("[{} {end})", text(&range.start))
}

/// A key or value: printable ASCII as it is, other bytes as `\xHH`; `''` for nothing. There are no blanks in it.
fn text(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "''".to_owned();
    }
    bytes.iter().fold(String::new(), |mut out, &byte| {
        if byte.is_ascii_graphic() && byte != b'\\' {
            out.push(char::from(byte));
        } else {
            write!(out, "\\x{byte:02x}").expect("a string takes everything");
        }
        out
    })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a string takes everything");
        out
    })
}
