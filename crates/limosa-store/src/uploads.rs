//! Large values that are arriving: who fills which generation, and whether the value that it will replace has changed meanwhile.
//!
//! A generation that no head names is not seen by any reader. It is registered in the state itself, under its key and in the commit that
//! writes its first parts. The place has a deadline long past, so that whoever becomes owner next finds and removes it when this process
//! ends before the value is complete.

use std::collections::BTreeMap;
use std::sync::Arc;

use limosa_core::{Expiry, KeyRange};

use crate::parts::{Ascending, Cutter, Reading, generation_range, may_be_upload, part_place, parts_range, upload_key, upload_of};

/// What an arriving value is to become: joined to the value that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Join {
    /// Behind it.
    Append,
    /// Over it, from this byte on; zeros before it where the value is shorter.
    At(u64),
}

/// Bytes that are copied beside those that arrived.
#[derive(Debug)]
pub(crate) enum Source {
    Bytes(Vec<u8>),
    Parts(Reading),
    Zeros(u64),
}

/// How far the joining to an older value is.
#[derive(Debug)]
pub(crate) struct Joining {
    /// What is still to be copied: in front of what arrived, in reverse order, then behind it.
    pub(crate) front: Vec<Source>,
    pub(crate) behind: Vec<Source>,
    pub(crate) front_labels: Ascending,
    pub(crate) behind_labels: Ascending,
    pub(crate) cutter: Cutter,
    /// Bytes and parts of the joined value so far, what arrived included.
    pub(crate) bytes: u64,
    pub(crate) parts: u64,
    /// The old value's.
    pub(crate) expiry: Expiry,
}

/// One arriving value.
#[derive(Debug)]
pub(crate) struct Arriving {
    pub(crate) stored: Arc<[u8]>,
    pub(crate) generation: u64,
    pub(crate) cutter: Cutter,
    pub(crate) labels: Ascending,
    pub(crate) bytes: u64,
    pub(crate) parts: u64,
    pub(crate) is_complete: bool,
    /// The key's value was written since the joining began.
    pub(crate) is_touched: bool,
    /// How often the joining began.
    pub(crate) joinings: u32,
    pub(crate) joining: Option<Joining>,
}

/// A piece and the label that it gets.
pub(crate) type Labelled = (u64, Vec<u8>);

impl Arriving {
    /// Takes bytes in and answers the parts that they complete.
    pub(crate) fn take(&mut self, bytes: &[u8], is_last: bool) -> Vec<Labelled> {
        let Self { cutter, labels, .. } = self;
        let pieces = label(cutter, labels, bytes, is_last);
        self.bytes += bytes.len() as u64;
        self.parts += pieces.len() as u64;
        self.is_complete = is_last;
        pieces
    }
}

/// Cuts `bytes` behind what was cut before and labels what is complete.
pub(crate) fn label(cutter: &mut Cutter, labels: &mut Ascending, bytes: &[u8], is_last: bool) -> Vec<Labelled> {
    let mut pieces = Vec::new();
    cutter.push(bytes, is_last, |piece| pieces.push((labels.next(), piece.to_vec())));
    pieces
}

/// All that arrive at this node.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    last_id: u64,
    arriving: BTreeMap<u64, Arriving>,
}

impl Uploads {
    pub(crate) fn is_empty(&self) -> bool {
        self.arriving.is_empty()
    }

    pub(crate) fn open(&mut self, stored: Arc<[u8]>, generation: u64) -> u64 {
        self.last_id += 1;
        let arriving = Arriving {
            stored,
            generation,
            cutter: Cutter::default(),
            labels: Ascending::fresh(),
            bytes: 0,
            parts: 0,
            is_complete: false,
            is_touched: false,
            joinings: 0,
            joining: None,
        };
        self.arriving.insert(self.last_id, arriving);
        self.last_id
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Arriving> {
        self.arriving.get_mut(&id)
    }

    pub(crate) fn close(&mut self, id: u64) -> Option<Arriving> {
        self.arriving.remove(&id)
    }

    /// Another node writes the fragment with these keys: what arrives in it here can't be completed.
    pub(crate) fn close_in(&mut self, fragment: &KeyRange) {
        self.arriving.retain(|_, arriving| !fragment.contains(&arriving.stored));
    }

    /// The newest generation that arrives under `stored`, 0 if none does.
    pub(crate) fn newest(&self, stored: &[u8]) -> u64 {
        self.arriving.values().filter(|arriving| *arriving.stored == *stored).map(|arriving| arriving.generation).max().unwrap_or(0)
    }

    pub(crate) fn has(&self, stored: &[u8], generation: u64) -> bool {
        self.arriving.values().any(|arriving| *arriving.stored == *stored && arriving.generation == generation)
    }

    /// The generations that arrive, and the places where they are registered, in key order: what a delete of everything passes over.
    pub(crate) fn ranges(&self) -> Vec<KeyRange> {
        let place = |arriving: &Arriving| {
            let key = upload_key(&arriving.stored, arriving.generation);
            let end = [&key[..], &[0]].concat();
            KeyRange::new(key, Some(end.into()))
        };
        let generations = self.arriving.values().map(|arriving| generation_range(&arriving.stored, arriving.generation));
        let mut ranges: Vec<_> = generations.chain(self.arriving.values().map(place)).collect();
        ranges.sort_by(|a, b| a.start.cmp(&b.start));
        ranges
    }

    /// How many arrive.
    pub(crate) fn len(&self) -> usize {
        self.arriving.len()
    }

    /// A write of `key` is pending.
    pub(crate) fn touch(&mut self, key: &[u8]) {
        let is_under = |arriving: &Arriving| {
            let prefix = arriving.stored.strip_suffix(&[0, 0]).expect("a user key's stored form ends with its terminator");
            *arriving.stored == *key || key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(&[0, 1]))
        };
        if !self.arriving.values().any(is_under) || may_be_upload(key) && upload_of(key).is_some() {
            return;
        }
        let arrives = part_place(key).is_some_and(|(generation, _)| {
            self.arriving.values().any(|arriving| *arriving.stored != *key && is_under(arriving) && arriving.generation == generation)
        });
        if !arrives {
            self.arriving.values_mut().filter(|arriving| is_under(arriving)).for_each(|arriving| arriving.is_touched = true);
        }
    }

    /// A range delete is pending.
    pub(crate) fn touch_range(&mut self, range: &KeyRange) {
        let arrives = self.ranges().iter().any(|own| own.covers(range));
        if !arrives {
            let under = |arriving: &Arriving| range.contains(&arriving.stored) || range.intersect(&parts_range(&arriving.stored)).is_some();
            self.arriving.values_mut().filter(|arriving| under(arriving)).for_each(|arriving| arriving.is_touched = true);
        }
    }
}
