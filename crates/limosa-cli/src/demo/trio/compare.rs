//! Reads every entry of every copy over RESP and compares it with what was acknowledged.
//!
//! A copy may be a moment behind its owner: each node is first given a token of all that the owners have, and answers reads behind it.

use std::net::SocketAddr;

use crate::demo::error::DemoError;
use crate::demo::fact::Fact;
use crate::demo::model::{Key, Model};
use crate::demo::resp::{Reply, Resp};

/// Keys asked for at once.
const PAGE: usize = 1000;

/// Entries of a node that are not as they must be; 0: all of them are. `tokens` are of every owner.
pub(super) fn differing(name: &'static str, address: SocketAddr, tokens: &[Vec<u8>], model: &Model) -> Result<u64, DemoError> {
    let mut resp = Resp::connect(name, address)?;
    resp.call(&[b"READONLY"])?;
    for token in tokens.iter().filter(|token| !token.is_empty()) {
        resp.call(&[b"LIMOSA.TOKEN", b"SET", token])?;
    }
    let expected: Vec<(&Key, Fact)> = model.live().collect();
    let mut differing = 0;
    for page in expected.chunks(PAGE) {
        for (key, _) in page {
            resp.queue(&[b"GET", key]);
            resp.queue(&[b"PEXPIRETIME", key]);
        }
        resp.flush()?;
        for (_, fact) in page {
            let found = match answer(&mut resp)? {
                Some(Reply::Bulk(value)) => Some(Fact::of(value, 0)),
                _ => None, // it is not there, or this node says that it is not its own to tell
            };
            let expiry = match answer(&mut resp)? {
                Some(Reply::Integer(expiry)) => u64::try_from(expiry).unwrap_or(0), // -1: no expiry
                _ => 0,
            };
            differing += u64::from(found.map(|found| found.expiring(expiry)) != Some(*fact));
        }
    }
    Ok(differing)
}

/// What a node has as an owner: entries, and a token that names their versions.
pub(super) fn owned(name: &'static str, address: SocketAddr, model: &Model) -> Result<(u64, Vec<u8>), DemoError> {
    let mut resp = Resp::connect(name, address)?;
    let Reply::Integer(count) = resp.call(&[b"DBSIZE"])? else { return Err(resp.garbled()) };
    let keys: Vec<&Key> = model.live().map(|(key, _)| key).collect();
    for page in keys.chunks(PAGE) {
        for key in page {
            resp.queue(&[b"PEXPIRETIME", key]);
        }
        resp.flush()?;
        for _ in page {
            answer(&mut resp)?; // keys of others are refused; those of its own count for the token
        }
    }
    let token = match resp.call(&[b"LIMOSA.TOKEN"])? {
        Reply::Bulk(token) | Reply::Simple(token) => token.to_vec(),
        _ => Vec::new(),
    };
    Ok((u64::try_from(count).unwrap_or(0), token))
}

/// The next reply; none where it is a refusal.
fn answer(resp: &mut Resp) -> Result<Option<Reply<'_>>, DemoError> {
    match resp.reply() {
        Ok(reply) => Ok(Some(reply)),
        Err(DemoError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
