//! The manifest of a cluster, in etcd (v3): for everything beyond one machine.
//!
//! Every entry lies below one prefix of the cluster's own. A store's revision is etcd's, its number is etcd's cluster id, so that both a
//! restore from a backup and an exchange are noticed by the ratchet.
//!
//! # Not here
//! - Backup, compaction and quorum of etcd itself: its operator's.

mod client;
mod config;
mod fault;
mod proto;
mod watch;

use std::time::Duration;

use bytes::Bytes;

pub use config::{EtcdConfig, EtcdTls};

use crate::error::ManifestError;
use crate::store::{Boxed, Change, Committed, Guard, LeaseId, ManifestStore, Reading, Stored, Watch, Write};
use client::Client;
use proto::{
    Compare, CompareWith, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RangeResponse, Request, RequestOp, ResponseHeader,
    TARGET_MOD, TxnRequest, TxnResponse,
};

/// Entries asked for at once, so that a list of any length stays below etcd's largest answer.
const PAGE_ENTRIES: i64 = 500;

/// A connection to etcd's servers. Clones share it.
#[derive(Clone)]
pub struct EtcdStore {
    client: Client,
    prefix: String,
}

impl EtcdStore {
    /// A store over the servers in `config`. Connects when it is first used: etcd may be away meanwhile.
    ///
    /// # Errors
    /// Addresses or certificates that can't be used.
    pub fn new(config: EtcdConfig) -> Result<Self, ManifestError> {
        let prefix = config.prefix.clone();
        if prefix.is_empty() || !prefix.ends_with('/') {
            return Err(ManifestError::Config { what: "etcd prefix", why: format!("{prefix:?} must end in a slash, as /limosa/orders/") });
        }
        Ok(Self { client: Client::new(config)?, prefix })
    }

    fn full(&self, key: &str) -> Vec<u8> {
        [self.prefix.as_bytes(), key.as_bytes()].concat()
    }

    async fn range(&self, key: Vec<u8>, range_end: Vec<u8>, revision: i64) -> Result<RangeResponse, ManifestError> {
        let request = RangeRequest { key, range_end, limit: PAGE_ENTRIES, revision };
        self.client.read("/etcdserverpb.KV/Range", request).await
    }

    async fn list_all(&self, prefix: &str) -> Result<Reading, ManifestError> {
        let mut key = self.full(prefix);
        let end = behind_prefix(&key);
        let (mut entries, mut at) = (Vec::new(), None);
        loop {
            let page = self.range(key, end.clone(), at.map_or(0, |(_, revision)| revision)).await?;
            let header = header(page.header.as_ref())?;
            // The pages that follow show the state of the first one: all at one revision.
            let (store, revision) = *at.get_or_insert((header.cluster_id, header.revision));
            let last = page.kvs.last().map(|kv| kv.key.to_vec());
            for kv in page.kvs {
                entries.push(self.stored(kv)?);
            }
            match last {
                Some(last) if page.more => key = [&last[..], &[0]].concat(),
                _ => return Ok(Reading { store, revision: to_u64(revision), entries }),
            }
        }
    }

    fn stored(&self, kv: KeyValue) -> Result<Stored, ManifestError> {
        Ok(Stored { key: short(&self.prefix, &kv.key)?, revision: to_u64(kv.mod_revision), value: kv.value })
    }

    fn compare(&self, guard: &Guard) -> Compare {
        let revision = guard.revision.map_or(0, |revision| i64::try_from(revision).unwrap_or(i64::MAX));
        Compare { result: 0, target: TARGET_MOD, key: self.full(&guard.key), with: Some(CompareWith::ModRevision(revision)) }
    }

    fn op(&self, write: Write) -> RequestOp {
        let request = match write {
            Write::Put { key, value, lease } => {
                Request::Put(PutRequest { key: self.full(&key), value, lease: lease.map_or(0, |lease| lease.0) })
            }
            Write::Delete { key } => Request::DeleteRange(DeleteRangeRequest { key: self.full(&key) }),
        };
        RequestOp { request: Some(request) }
    }
}

impl ManifestStore for EtcdStore {
    fn read<'a>(&'a self, key: &'a str) -> Boxed<'a, Result<Reading, ManifestError>> {
        Box::pin(async move {
            let answer = self.range(self.full(key), Vec::new(), 0).await?;
            let header = header(answer.header.as_ref())?;
            let entries = answer.kvs.into_iter().map(|kv| self.stored(kv)).collect::<Result<_, _>>()?;
            Ok(Reading { store: header.cluster_id, revision: to_u64(header.revision), entries })
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Boxed<'a, Result<Reading, ManifestError>> {
        Box::pin(self.list_all(prefix))
    }

    fn commit(&self, change: Change) -> Boxed<'_, Result<Committed, ManifestError>> {
        Box::pin(async move {
            change.check()?;
            let first = change.first_key();
            let compare = change.guards.iter().map(|guard| self.compare(guard)).collect();
            let success = change.writes.into_iter().map(|write| self.op(write)).collect();
            let request = TxnRequest { compare, success };
            let answer: TxnResponse = self.client.change("/etcdserverpb.KV/Txn", request, &first).await?;
            let header = header(answer.header.as_ref())?;
            Ok(Committed { done: answer.succeeded, revision: to_u64(header.revision), store: header.cluster_id })
        })
    }

    fn watch<'a>(&'a self, prefix: &'a str, revision: u64) -> Boxed<'a, Result<Box<dyn Watch>, ManifestError>> {
        Box::pin(async move {
            let key = self.full(prefix);
            let watch = watch::EtcdWatch::open(&self.client, &self.prefix, key, revision).await?;
            Ok(Box::new(watch) as Box<dyn Watch>)
        })
    }

    fn grant(&self, ttl: Duration) -> Boxed<'_, Result<LeaseId, ManifestError>> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        Box::pin(self.client.grant(i64::try_from(seconds.max(1)).unwrap_or(i64::MAX)))
    }

    fn keep_alive(&self, lease: LeaseId) -> Boxed<'_, Result<bool, ManifestError>> {
        Box::pin(self.client.keep_alive(lease))
    }

    fn revoke(&self, lease: LeaseId) -> Boxed<'_, Result<(), ManifestError>> {
        Box::pin(self.client.revoke(lease))
    }
}

/// The first key behind all that begin with `prefix`.
fn behind_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    vec![0] // etcd's word for "no end"
}

/// The key below the cluster's prefix.
fn short(prefix: &str, key: &Bytes) -> Result<String, ManifestError> {
    let text = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(prefix));
    text.map(str::to_owned).ok_or_else(|| fault::foreign("a key outside of the prefix that was asked for"))
}

fn header(header: Option<&ResponseHeader>) -> Result<&ResponseHeader, ManifestError> {
    header.ok_or_else(|| fault::foreign("an answer without a header"))
}

fn to_u64(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_next_key_that_does_not_begin_with_it() {
        for (prefix, end) in [(&b"a/"[..], &b"a0"[..]), (b"a\xff", b"b"), (b"\xff\xff", b"\0")] {
            assert_eq!(behind_prefix(prefix), end);
        }
    }

    #[test]
    fn a_comparison_with_absence_is_sent_although_it_is_zero() {
        use prost::Message;
        let compare = Compare { result: 0, target: TARGET_MOD, key: b"k".to_vec(), with: Some(CompareWith::ModRevision(0)) };
        let bytes = compare.encode_to_vec();
        assert!(bytes.ends_with(&[6 << 3, 0]), "field 6 is there: {bytes:02x?}");
    }
}
