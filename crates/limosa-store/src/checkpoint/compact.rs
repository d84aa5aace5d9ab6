//! Clears out extent files of which little is needed: what is, moves into the files of the checkpoint under way.

use limosa_core::FragmentId;

use super::choice::{ExtentFacts, victims};
use super::extent::{Indexed, ReadFault, read_index};
use super::place::Place;
use super::value::{self, SUMMARIES};
use super::writer::{CheckpointWriter, insert, row_at};
use crate::error::StoreError;

/// Records of an index that are looked up at a time.
const RECORDS_AT_ONCE: usize = 256;

/// A record that moved.
struct Move {
    key: Vec<u8>,
    from: Place,
    to: Place,
}

impl CheckpointWriter<'_> {
    /// Moves what is needed out of the files that [`victims`] names.
    pub(super) fn clear_out(&mut self) -> Result<(), StoreError> {
        let left = self.extents_left();
        for number in victims(&left, self.extents.bytes()) {
            let facts = left.iter().find(|facts| facts.number == number).expect("a victim is one of these");
            let Some(index) = self.index_of(facts)? else { continue };
            for records in index.chunks(RECORDS_AT_ONCE) {
                self.move_records(number, records)?;
            }
        }
        Ok(())
    }

    /// The index of a file; `None` when it is damaged: the file then stays, and its blocks tell when they are read.
    fn index_of(&self, facts: &ExtentFacts) -> Result<Option<Vec<Indexed>>, StoreError> {
        let number = facts.number;
        match self.view.index(facts) {
            Ok(body) => {
                Ok(read_index(&body).inspect_err(|error| tracing::error!(number, %error, "the index of an extent file is damaged")).ok())
            }
            Err(ReadFault::Damaged(why)) => {
                tracing::error!(number, %why, "the index of an extent file is damaged");
                Ok(None)
            }
            Err(ReadFault::Store(error)) => Err(error),
        }
    }

    fn move_records(&mut self, number: u64, records: &[Indexed]) -> Result<(), StoreError> {
        let mut moves = Vec::new();
        for (fragment, first_key, from) in self.needed(number, records)? {
            let body = match self.view.record(fragment, &first_key, &from) {
                Err(error @ StoreError::CorruptBlock { .. }) => {
                    tracing::error!(%error, "a block is damaged"); // it stays where it is: whoever reads it is told
                    continue;
                }
                other => other?,
            };
            let to = self.append(fragment, &first_key, &body)?;
            self.written.moved_bytes += body.len() as u64;
            self.free(&from);
            moves.push(Move { key: value::block_key(fragment, &first_key)?, from, to });
        }
        self.with_txn("write", |txn| {
            let mut summaries = txn.open_table(SUMMARIES)?;
            for Move { key, from, to } in moves {
                let mut row = row_at(&summaries, &key)?.expect("it was there before the record was moved");
                row.places.iter_mut().filter(|place| **place == from).for_each(|place| *place = to);
                insert(&mut summaries, &key, &row.encode())?;
            }
            Ok(())
        })
    }

    /// Those of `records` in file `number` that a row names.
    fn needed(&mut self, number: u64, records: &[Indexed]) -> Result<Vec<(FragmentId, Vec<u8>, Place)>, StoreError> {
        let keys = records.iter().map(|record| value::block_key(record.fragment, &record.first_key)).collect::<Result<Vec<_>, _>>()?;
        let places = self.with_txn("read", |txn| {
            let summaries = txn.open_table(SUMMARIES)?;
            let find = |(key, record): (&Vec<u8>, &Indexed)| {
                let row = row_at(&summaries, key)?;
                let is_it = |place: &Place| place.file == number && place.offset == record.offset;
                Ok(row.and_then(|row| row.places.into_iter().find(is_it)))
            };
            keys.iter().zip(records).map(find).collect::<Result<Vec<_>, redb::Error>>()
        })?;
        let named = records.iter().zip(places).filter_map(|(record, place)| Some((record.fragment, record.first_key.clone(), place?)));
        Ok(named.collect())
    }
}
