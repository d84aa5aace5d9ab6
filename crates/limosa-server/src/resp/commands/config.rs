//! CONFIG: the settings that clients and tools ask for under Redis' names.

use std::sync::atomic::{AtomicU64, Ordering};

use limosa_core::limits::{CLIENTS_MAX, USER_VALUE_BYTES_MAX};

use super::super::call::{Call, Done, excerpt};
use super::super::error::CommandError;
use super::super::glob;
use super::super::number::parse_i64;
use super::super::shared::Shared;

/// Every setting and its present value. What Limosa has no counterpart of has the value that says so.
fn all(shared: &Shared) -> Vec<(&'static str, String)> {
    let facts = shared.node.facts();
    let flush = if facts.flushes_each_commit { "always" } else { "everysec" };
    vec![
        ("appendfsync", flush.to_owned()),
        ("appendonly", "yes".to_owned()),
        ("bind", facts.bind.clone()),
        ("cluster-enabled", "no".to_owned()),
        ("databases", "1".to_owned()),
        ("dir", facts.data_dir.clone()),
        ("maxclients", shared.settings.clients_max.load(Ordering::Relaxed).to_string()),
        ("maxmemory", "0".to_owned()),
        ("maxmemory-policy", "noeviction".to_owned()),
        ("port", facts.port.to_string()),
        ("proto-max-bulk-len", USER_VALUE_BYTES_MAX.to_string()),
        ("requirepass", String::new()),
        ("save", String::new()),
        ("tcp-keepalive", "0".to_owned()),
        ("timeout", shared.settings.timeout_s.load(Ordering::Relaxed).to_string()),
    ]
}

pub(super) fn get(call: &mut Call<'_>) -> Done {
    let patterns = &call.args[2..];
    // A name that was asked for as it is comes back in the case in which it was asked for.
    let shown = |name: &'static str| {
        let named = patterns.iter().find(|pattern| pattern.eq_ignore_ascii_case(name.as_bytes())).copied();
        let matched = || patterns.iter().any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()));
        named.or_else(|| matched().then_some(name.as_bytes()))
    };
    let wanted: Vec<_> = all(&call.session.shared).into_iter().filter_map(|(name, value)| Some((shown(name)?, value))).collect();
    call.reply.map(wanted.len());
    for (name, value) in wanted {
        call.reply.bulk(name);
        call.reply.bulk(value.as_bytes());
    }
    Ok(())
}

/// One change, checked and not yet made.
enum Change<'a> {
    Seconds(&'a AtomicU64, u64),
    ClientsMax(usize),
}

pub(super) fn set(call: &mut Call<'_>) -> Done {
    let (pairs, rest) = call.args[2..].as_chunks::<2>();
    if !rest.is_empty() {
        return Err(CommandError::Arity("config|set".to_owned()));
    }
    let shared = &call.session.shared;
    let changes: Vec<_> = pairs.iter().map(|[name, value]| change(shared, name, value)).collect::<Result<_, _>>()?;
    for change in changes.into_iter().flatten() {
        match change {
            Change::Seconds(setting, value) => setting.store(value, Ordering::Relaxed),
            Change::ClientsMax(value) => shared.settings.clients_max.store(value, Ordering::Relaxed),
        }
    }
    call.reply.ok();
    Ok(())
}

/// What to change; nothing when the setting has the value for good.
fn change<'a>(shared: &'a Shared, name: &[u8], value: &[u8]) -> Result<Option<Change<'a>>, CommandError> {
    let lower = name.to_ascii_lowercase();
    let number = |max: u64| {
        let number = parse_i64(value).ok_or_else(|| failed(name, "argument couldn't be parsed into an integer"))?;
        let in_range = u64::try_from(number).ok().filter(|number| *number <= max);
        in_range.ok_or_else(|| failed(name, &format!("argument must be between 0 and {max} inclusive")))
    };
    match lower.as_slice() {
        b"timeout" => Ok(Some(Change::Seconds(&shared.settings.timeout_s, number(i32::MAX.unsigned_abs().into())?))),
        b"maxclients" => {
            let clients = usize::try_from(number(CLIENTS_MAX as u64)?).expect("bounded by a usize");
            if clients == 0 {
                return Err(failed(name, &format!("argument must be between 1 and {CLIENTS_MAX} inclusive")));
            }
            Ok(Some(Change::ClientsMax(clients)))
        }
        known => match all(shared).iter().find(|(name, _)| name.as_bytes() == known) {
            // Tools switch Redis' snapshots off before they begin: there are none, so that much is granted.
            Some(("save", present)) if present.as_bytes() == value => Ok(None),
            Some(_) => Err(failed(name, "can't set immutable config")),
            None => Err(CommandError::text(format!("ERR Unknown option or number of arguments for CONFIG SET - '{}'", excerpt(name, 128)))),
        },
    }
}

fn failed(name: &[u8], why: &str) -> CommandError {
    CommandError::text(format!("ERR CONFIG SET failed (possibly related to argument '{}') - {why}", excerpt(name, 128)))
}

pub(super) fn resetstat(call: &mut Call<'_>) -> Done {
    call.session.shared.stats.reset();
    call.reply.ok();
    Ok(())
}
