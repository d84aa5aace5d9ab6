//! Reads every entry of a node over RESP and fingerprints it: the comparison that shares no code with a transfer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::DemoError;
use super::fact::{Fact, Fingerprint};
use super::model::Key;
use super::resp::{Reply, Resp};

/// Keys asked for in one step of a scan.
const PAGE: &[u8] = b"1000";

/// Where a scan stands.
struct Page {
    cursor: Vec<u8>,
    keys: Vec<Key>,
}

/// Every entry of the node at `address`; `read` counts along.
pub(super) fn fingerprint(node: &'static str, address: SocketAddr, read: &AtomicU64) -> Result<Fingerprint, DemoError> {
    let mut resp = Resp::connect(node, address)?;
    resp.call(&[b"READONLY"])?; // a standby answers reads only behind it; an owner takes it and does nothing
    let mut all = Fingerprint::default();
    resp.queue(&[b"SCAN", b"0", b"COUNT", PAGE]);
    resp.flush()?;
    let mut page = read_page(&mut resp)?;
    loop {
        // The next page is asked for together with the values of this one: one wait for both.
        let is_last = page.cursor == b"0";
        ask_values(&mut resp, &page.keys);
        if !is_last {
            resp.queue(&[b"SCAN", &page.cursor, b"COUNT", PAGE]);
        }
        resp.flush()?;
        read_values(&mut resp, &page.keys, &mut all)?;
        read.fetch_add(page.keys.len() as u64, Ordering::Relaxed);
        if is_last {
            return Ok(all);
        }
        page = read_page(&mut resp)?;
    }
}

fn ask_values(resp: &mut Resp, keys: &[Key]) {
    if keys.is_empty() {
        return;
    }
    let all: Vec<&[u8]> = std::iter::once(&b"MGET"[..]).chain(keys.iter().map(|key| &**key)).collect();
    resp.queue(&all);
    for key in keys {
        resp.queue(&[b"PEXPIRETIME", key]);
    }
}

fn read_page(resp: &mut Resp) -> Result<Page, DemoError> {
    if resp.reply()? != Reply::Array(2) {
        return Err(resp.garbled());
    }
    let Reply::Bulk(cursor) = resp.reply()? else { return Err(resp.garbled()) };
    let cursor = cursor.to_vec();
    let Reply::Array(count) = resp.reply()? else { return Err(resp.garbled()) };
    let mut keys = Vec::with_capacity(count.min(1 << 16));
    for _ in 0..count {
        let Reply::Bulk(key) = resp.reply()? else { return Err(resp.garbled()) };
        keys.push(key.into());
    }
    Ok(Page { cursor, keys })
}

fn read_values(resp: &mut Resp, keys: &[Key], all: &mut Fingerprint) -> Result<(), DemoError> {
    if keys.is_empty() {
        return Ok(());
    }
    if resp.reply()? != Reply::Array(keys.len()) {
        return Err(resp.garbled());
    }
    let mut facts = Vec::with_capacity(keys.len());
    for _ in keys {
        // Nobody writes: a key that the scan gave and that is gone again is a fault, which the count of entries shows.
        facts.push(if let Reply::Bulk(value) = resp.reply()? { Some(Fact::of(value, 0)) } else { None });
    }
    for (key, fact) in keys.iter().zip(facts) {
        let Reply::Integer(expiry) = resp.reply()? else { return Err(resp.garbled()) };
        if let Some(fact) = fact {
            all.add(key, &fact.expiring(u64::try_from(expiry).unwrap_or(0))); // -1: no expiry
        }
    }
    Ok(())
}
