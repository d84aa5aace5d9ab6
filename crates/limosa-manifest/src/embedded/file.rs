//! The embedded store's file: entries and the revision, changed in one durable transaction each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition};

use crate::error::ManifestError;
use crate::store::{Change, Committed, Guard, LeaseId, Reading, Stored, Write};

type Row = (u64, i64, &'static [u8]);
/// Key → (revision that wrote it, lease or 0, bytes).
const ENTRIES: TableDefinition<'static, &str, Row> = TableDefinition::new("entries");
/// "format", "store", "revision".
const FACTS: TableDefinition<'static, &str, u64> = TableDefinition::new("facts");
const FORMAT: u64 = 1;

pub(super) struct File {
    database: Database,
    store: u64,
    revision: u64,
    /// What failed, if anything did: what the file holds is not known from then on.
    poison: Option<String>,
}

impl File {
    pub(super) fn open(path: &Path, store: u64) -> Result<Self, ManifestError> {
        let shown = path.display().to_string();
        let database = guarded(|| Ok(Database::create(path)?)).map_err(|why| opening(&shown, &why))?;
        let facts = guarded(|| {
            let txn = database.begin_write()?;
            let facts = {
                txn.open_table(ENTRIES)?;
                let mut facts = txn.open_table(FACTS)?;
                if facts.get("format")?.is_none() {
                    facts.insert("format", FORMAT)?;
                    facts.insert("store", store)?;
                    facts.insert("revision", 0)?;
                }
                let fact = |name: &str| Ok::<_, redb::Error>(facts.get(name)?.map(|value| value.value()));
                (fact("format")?, fact("store")?, fact("revision")?)
            };
            txn.commit()?;
            Ok(facts)
        });
        match facts.map_err(|why| opening(&shown, &why))? {
            (Some(format), _, _) if format > FORMAT => {
                let found = u32::try_from(format).unwrap_or(u32::MAX);
                Err(ManifestError::Newer { key: shown, what: "format version", found, known: 1 })
            }
            (Some(FORMAT), Some(store), Some(revision)) => Ok(Self { database, store, revision, poison: None }),
            _ => Err(ManifestError::Damaged { key: shown, why: "its facts are not all there".to_owned() }),
        }
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn read(&self, key: &str) -> Result<Reading, ManifestError> {
        self.reading(|table| {
            let row = table.get(key)?;
            Ok(row.map(|row| stored(key, row.value())).into_iter().collect())
        })
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Reading, ManifestError> {
        self.reading(|table| {
            let mut out = Vec::new();
            for row in table.range(prefix..)? {
                let (key, row) = row?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                out.push(stored(key.value(), row.value()));
            }
            Ok(out)
        })
    }

    /// Keys of entries bound to `lease`.
    pub(super) fn bound_to(&self, lease: LeaseId) -> Result<Vec<String>, ManifestError> {
        self.keys(|bound| bound == lease.0)
    }

    /// Keys of entries bound to any lease.
    pub(super) fn leased(&self) -> Result<Vec<String>, ManifestError> {
        self.keys(|bound| bound != 0)
    }

    /// Makes a change if its guards hold. On the disk when this returns.
    pub(super) fn commit(&mut self, change: &Change) -> Result<Committed, ManifestError> {
        self.usable()?;
        let next = self.revision + 1;
        let done = guarded(|| {
            let txn = self.database.begin_write()?;
            let holds = {
                let mut entries = txn.open_table(ENTRIES)?;
                let holds = all_hold(&entries, &change.guards)?;
                if holds && !change.writes.is_empty() {
                    write_all(&mut entries, &change.writes, next)?;
                    txn.open_table(FACTS)?.insert("revision", next)?;
                }
                holds
            };
            if holds && !change.writes.is_empty() {
                txn.commit()?; // durable: redb flushes before it answers
            } else {
                txn.abort()?;
            }
            Ok(holds)
        });
        let done = done.map_err(|why| self.poison(why))?;
        if done && !change.writes.is_empty() {
            self.revision = next;
        }
        Ok(Committed { done, revision: self.revision, store: self.store })
    }

    fn reading(
        &self,
        f: impl FnOnce(&redb::ReadOnlyTable<&'static str, Row>) -> Result<Vec<Stored>, redb::Error>,
    ) -> Result<Reading, ManifestError> {
        self.usable()?;
        let read = guarded(|| f(&self.database.begin_read()?.open_table(ENTRIES)?));
        let entries = read.map_err(|why| ManifestError::Unavailable { why })?;
        Ok(Reading { store: self.store, revision: self.revision, entries })
    }

    fn keys(&self, is_meant: impl Fn(i64) -> bool) -> Result<Vec<String>, ManifestError> {
        let reading = self.reading(|table| {
            let mut out = Vec::new();
            for row in table.iter()? {
                let (key, row) = row?;
                if is_meant(row.value().1) {
                    out.push(stored(key.value(), row.value()));
                }
            }
            Ok(out)
        })?;
        Ok(reading.entries.into_iter().map(|stored| stored.key).collect())
    }

    fn usable(&self) -> Result<(), ManifestError> {
        self.poison.clone().map_or(Ok(()), |why| Err(ManifestError::Poisoned { why }))
    }

    /// After a failed commit it is not known whether the header reached the disk: nothing more is promised.
    fn poison(&mut self, why: String) -> ManifestError {
        tracing::error!(%why, "the embedded manifest takes no more changes");
        ManifestError::Poisoned { why: self.poison.get_or_insert(why).clone() }
    }
}

fn all_hold(entries: &Table<'_, &'static str, Row>, guards: &[Guard]) -> Result<bool, redb::Error> {
    for guard in guards {
        let held = entries.get(guard.key.as_str())?.map(|row| row.value().0);
        if held != guard.revision {
            return Ok(false);
        }
    }
    Ok(true)
}

fn write_all(entries: &mut Table<'_, &'static str, Row>, writes: &[Write], revision: u64) -> Result<(), redb::Error> {
    for write in writes {
        match write {
            Write::Put { key, value, lease } => {
                entries.insert(key.as_str(), (revision, lease.map_or(0, |lease| lease.0), &value[..]))?;
            }
            Write::Delete { key } => drop(entries.remove(key.as_str())?),
        }
    }
    Ok(())
}

fn stored(key: &str, (revision, _, value): (u64, i64, &[u8])) -> Stored {
    Stored { key: key.to_owned(), value: Bytes::copy_from_slice(value), revision }
}

fn opening(path: &str, why: &str) -> ManifestError {
    ManifestError::Config { what: "embedded manifest", why: format!("{path}: {why}") }
}

/// Runs what calls redb; a panic in it is an error like any other.
fn guarded<T>(f: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err("redb panicked".to_owned()),
    }
}
