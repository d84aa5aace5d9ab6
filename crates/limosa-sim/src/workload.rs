//! What clients do: sets, deletes, deadlines and appends on a few hundred keys, some values large enough to lie in parts.

use limosa_core::{Expiry, KeyRange};
use limosa_store::{Store, StoreError};

use crate::oracle::{Effect, Model};
use crate::random::Random;

/// Keys of a world.
const KEYS: u64 = 240;

/// One client's command, decided before it is tried.
#[derive(Clone, Debug)]
pub enum Command {
    /// SET, with a deadline in so many milliseconds.
    Set(Vec<u8>, Vec<u8>, Option<u64>),
    /// DEL of some keys at once.
    Delete(Vec<Vec<u8>>),
    /// MSET: one commit over several fragments.
    SetMany(Vec<(Vec<u8>, Vec<u8>)>),
    /// APPEND.
    Append(Vec<u8>, Vec<u8>),
    /// FLUSHALL.
    DeleteAll,
}

fn key(random: &mut Random) -> Vec<u8> {
    format!("key:{}", random.below(KEYS)).into_bytes()
}

fn value(random: &mut Random) -> Vec<u8> {
    let len = match random.below(100) {
        0..=1 => 17_000 + random.index(20_000), // in parts
        2..=20 => 300 + random.index(2_000),
        _ => random.index(60),
    };
    random.bytes(len)
}

impl Command {
    /// What a client does next.
    pub fn draw(random: &mut Random) -> Self {
        match random.below(100) {
            0..=54 => Self::Set(key(random), value(random), None),
            55..=62 => Self::Set(key(random), value(random), Some(20 + random.below(2_000))),
            63..=80 => Self::Delete((0..=random.below(3)).map(|_| key(random)).collect()),
            81..=90 => Self::SetMany((0..=random.below(6)).map(|_| (key(random), value(random))).collect()),
            _ => {
                let len = random.index(200);
                Self::Append(key(random), random.bytes(len))
            }
        }
    }

    /// The keys whose value it may change; `None`: all.
    pub fn keys(&self) -> Option<Vec<Vec<u8>>> {
        match self {
            Self::Set(key, ..) | Self::Append(key, _) => Some(vec![key.clone()]),
            Self::Delete(keys) => Some(keys.clone()),
            Self::SetMany(pairs) => Some(pairs.iter().map(|(key, _)| key.clone()).collect()),
            Self::DeleteAll => None,
        }
    }

    /// Carries it out in one commit; answers its position and effects, or nothing where it changed nothing.
    ///
    /// # Errors
    /// As the store's.
    pub fn carry_out(self, store: &Store, now_ms: u64) -> Result<Option<(u64, Vec<Effect>)>, StoreError> {
        let mut txn = store.begin();
        let mut effects = Vec::new();
        match self {
            Self::Set(key, value, ttl_ms) => {
                let deadline = ttl_ms.map(|ttl| now_ms + ttl);
                txn.set(&key, &value, deadline.map_or(Expiry::NEVER, Expiry::at))?;
                effects.push(Effect::Set(key, (value, deadline.unwrap_or(u64::MAX))));
            }
            Self::Delete(keys) => {
                for key in keys {
                    txn.delete(&key, now_ms)?;
                    effects.push(Effect::Delete(key));
                }
            }
            Self::SetMany(pairs) => {
                for (key, value) in pairs {
                    txn.set(&key, &value, Expiry::NEVER)?;
                    effects.push(Effect::Set(key, (value, u64::MAX)));
                }
            }
            Self::Append(key, more) => {
                let held = txn.get(&key, now_ms)?.map(|string| (string.value.into_owned(), string.expiry));
                let (mut bytes, expiry) = held.unwrap_or((Vec::new(), Expiry::NEVER));
                bytes.extend_from_slice(&more);
                txn.set(&key, &bytes, expiry)?;
                effects.push(Effect::Set(key, (bytes, expiry.deadline().unwrap_or(u64::MAX))));
            }
            Self::DeleteAll => {
                txn.remove_range(&KeyRange::ALL)?;
                effects.push(Effect::DeleteAll);
            }
        }
        Ok(txn.commit().map(|position| (position.0, effects)))
    }
}

/// Every key that a client may use.
pub(crate) fn all_keys() -> Vec<Vec<u8>> {
    (0..KEYS).map(|i| format!("key:{i}").into_bytes()).collect()
}

/// What users see of `keys` at the head of `store`.
///
/// # Errors
/// As the store's.
pub fn visible_of(store: &Store, keys: &[Vec<u8>], now_ms: u64) -> Result<Model, StoreError> {
    let mut model = Model::new();
    for key in keys {
        let mut txn = store.begin();
        if let Some(string) = txn.get(key, now_ms)? {
            let value = (string.value.into_owned(), string.expiry.deadline().unwrap_or(u64::MAX));
            model.insert(key.clone(), value);
        }
    }
    Ok(model)
}

/// What users see of every key.
///
/// # Errors
/// As the store's.
pub fn visible(store: &Store, now_ms: u64) -> Result<Model, StoreError> {
    visible_of(store, &all_keys(), now_ms)
}
