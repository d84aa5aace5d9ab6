//! Entries side by side: what a frame carries and what extraction fills, without an allocation for each entry.
//!
//! Rows are in ascending key order, each key at most once: checked when a row is pushed.

use bytes::Bytes;

use crate::entry::{EntryRef, Expiry, Kind, LiveRef};
use crate::version::Version;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Row {
    key_end: u32,
    value_end: u32,
    version: Version,
    expiry: Expiry,
    kind: Kind,
    is_live: bool,
}

/// Fills [`Columns`] row by row.
#[derive(Debug, Default)]
pub struct ColumnsBuilder {
    keys: Vec<u8>,
    values: Vec<u8>,
    rows: Vec<Row>,
}

impl ColumnsBuilder {
    /// Room for about `value_bytes` of values.
    pub fn with_capacity(value_bytes: usize) -> Self {
        Self { keys: Vec::new(), values: Vec::with_capacity(value_bytes), rows: Vec::new() }
    }

    /// Appends one entry, whose key must be above the last one's.
    ///
    /// # Panics
    /// If the key is not above the last one's: rows in disorder would break every reader.
    pub fn push(&mut self, entry: EntryRef<'_>) {
        assert!(self.last_key().is_none_or(|last| last < entry.key), "rows are in ascending key order");
        self.keys.extend_from_slice(entry.key);
        let live = entry.live.unwrap_or(LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value: &[] });
        self.values.extend_from_slice(live.value);
        self.rows.push(Row {
            key_end: to_u32(self.keys.len()),
            value_end: to_u32(self.values.len()),
            version: entry.version,
            expiry: live.expiry,
            kind: live.kind,
            is_live: entry.live.is_some(),
        });
    }

    /// The key pushed last.
    pub fn last_key(&self) -> Option<&[u8]> {
        let end = self.rows.last()?.key_end as usize;
        let start = self.rows.len().checked_sub(2).map_or(0, |i| self.rows[i].key_end as usize);
        Some(&self.keys[start..end])
    }

    /// Key and value bytes so far.
    pub fn payload_bytes(&self) -> usize {
        self.keys.len() + self.values.len()
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Freezes the rows.
    pub fn finish(self) -> Columns {
        Columns { keys: self.keys.into(), values: self.values.into(), rows: self.rows }
    }
}

fn to_u32(len: usize) -> u32 {
    u32::try_from(len).expect("a frame's columns are bounded far below 4 GiB")
}

/// Entries in ascending key order. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Columns {
    keys: Bytes,
    values: Bytes,
    rows: Vec<Row>,
}

impl Columns {
    /// Joins decoded columns: `keys` and `values` are the concatenations, each row gives its lengths.
    /// `None` when the lengths do not add up or the keys are not ascending: the rows came from a peer.
    pub fn from_parts(keys: Bytes, values: Bytes, rows: impl IntoIterator<Item = RowParts>) -> Option<Self> {
        let (mut key_end, mut value_end) = (0u32, 0u32);
        let mut out = Vec::new();
        for row in rows {
            key_end = key_end.checked_add(row.key_len)?;
            value_end = value_end.checked_add(row.value_len)?;
            out.push(Row { key_end, value_end, version: row.version, expiry: row.expiry, kind: row.kind, is_live: row.is_live });
        }
        if key_end as usize != keys.len() || value_end as usize != values.len() {
            return None;
        }
        let columns = Self { keys, values, rows: out };
        let ascending = (1..columns.len()).all(|i| columns.key(i - 1) < columns.key(i));
        ascending.then_some(columns)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Key and value bytes.
    pub fn payload_bytes(&self) -> usize {
        self.keys.len() + self.values.len()
    }

    /// The values, one after another: sent as they lie.
    pub fn value_bytes(&self) -> &Bytes {
        &self.values
    }

    /// Entry `index`.
    ///
    /// # Panics
    /// If `index` is not below [`Columns::len`].
    pub fn entry(&self, index: usize) -> EntryRef<'_> {
        let row = &self.rows[index];
        let value_start = index.checked_sub(1).map_or(0, |i| self.rows[i].value_end as usize);
        let value = &self.values[value_start..row.value_end as usize];
        let live = row.is_live.then_some(LiveRef { kind: row.kind, expiry: row.expiry, value });
        EntryRef { key: self.key(index), version: row.version, live }
    }

    /// All entries in key order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = EntryRef<'_>> {
        (0..self.len()).map(|index| self.entry(index))
    }

    fn key(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |i| self.rows[i].key_end as usize);
        &self.keys[start..self.rows[index].key_end as usize]
    }
}

/// One decoded row, before its bytes are attached.
#[derive(Clone, Copy, Debug)]
pub struct RowParts {
    /// Bytes of the key.
    pub key_len: u32,
    /// Bytes of the value; 0 for a tombstone.
    pub value_len: u32,
    /// When it was written.
    pub version: Version,
    /// When it ends.
    pub expiry: Expiry,
    /// What it is.
    pub kind: Kind,
    /// False for a tombstone.
    pub is_live: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(value: &[u8]) -> Option<LiveRef<'_>> {
        Some(LiveRef { kind: Kind::STRING, expiry: Expiry::at(9), value })
    }

    #[test]
    fn rows_come_back_as_pushed() {
        let rows = [
            EntryRef { key: b"a", version: Version::new(1, 3), live: live(b"one") },
            EntryRef { key: b"ab", version: Version::new(1, 1), live: None },
            EntryRef { key: b"b", version: Version::new(1, 2), live: live(b"") },
        ];
        let mut builder = ColumnsBuilder::default();
        rows.into_iter().for_each(|row| builder.push(row));
        assert_eq!(builder.last_key(), Some(&b"b"[..]));
        let columns = builder.finish();
        assert_eq!(columns.iter().collect::<Vec<_>>(), rows);
        assert_eq!(columns.payload_bytes(), 7);
    }

    #[test]
    #[should_panic(expected = "ascending")]
    fn a_row_out_of_order_is_a_broken_invariant() {
        let mut builder = ColumnsBuilder::default();
        builder.push(EntryRef { key: b"b", version: Version::ZERO, live: None });
        builder.push(EntryRef { key: b"a", version: Version::ZERO, live: None });
    }

    #[test]
    fn parts_that_do_not_add_up_are_refused() {
        let row = RowParts { key_len: 2, value_len: 0, version: Version::ZERO, expiry: Expiry::NEVER, kind: Kind::STRING, is_live: true };
        assert!(Columns::from_parts(Bytes::from_static(b"ab"), Bytes::new(), [row]).is_some());
        assert!(Columns::from_parts(Bytes::from_static(b"abc"), Bytes::new(), [row]).is_none());
        assert!(Columns::from_parts(Bytes::from_static(b"bbaa"), Bytes::new(), [row, row]).is_none());
        assert!(Columns::from_parts(Bytes::new(), Bytes::new(), [RowParts { key_len: u32::MAX, ..row }, row]).is_none());
    }
}
