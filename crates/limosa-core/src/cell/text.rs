//! Values of the core as they stand in an entry: keys and random ids in hex, versions as numbers.
#![expect(missing_docs, reason = "pairs that serde finds by their names")]

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Node names.
pub mod name {
    use super::{Deserialize, Deserializer, Serializer, de};
    use crate::NodeName;

    pub fn serialize<S: Serializer>(name: &NodeName, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(name.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<NodeName, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// Sets of node names.
pub mod names {
    use super::{Deserialize, Deserializer, Serializer, de};
    use crate::NodeName;
    use std::collections::BTreeSet;

    pub fn serialize<S: Serializer>(names: &BTreeSet<NodeName>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(names.iter().map(NodeName::as_str))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<NodeName>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| text.parse().map_err(de::Error::custom)).collect()
    }
}

/// Random 64 bits, 16 hex digits: JSON readers keep only 53 bits of a number.
pub mod id {
    use super::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(id: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{id:016x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        if text.len() != 16 {
            return Err(de::Error::custom("an id has 16 hex digits"));
        }
        u64::from_str_radix(&text, 16).map_err(de::Error::custom)
    }
}

/// A version.
pub mod version {
    use super::{Deserialize, Deserializer, Serialize, Serializer};
    use crate::Version;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Text {
        epoch: u32,
        seq: u64,
    }

    pub fn serialize<S: Serializer>(version: &Version, to: S) -> Result<S::Ok, S::Error> {
        Text { epoch: version.epoch, seq: version.seq }.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Version, D::Error> {
        Text::deserialize(from).map(|text| Version::new(text.epoch, text.seq))
    }
}

/// A digest, 32 hex digits.
pub mod digest {
    use super::{Deserialize, Deserializer, Serializer, de};
    use crate::Digest;

    pub fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{:032x}", digest.0))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(from)?;
        if text.len() != 32 {
            return Err(de::Error::custom("a digest has 32 hex digits"));
        }
        u128::from_str_radix(&text, 16).map(Digest).map_err(de::Error::custom)
    }
}

/// A key, in hex.
pub mod key {
    use super::{Bytes, Deserialize, Deserializer, Serializer, de, from_hex, to_hex};

    pub fn serialize<S: Serializer>(key: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&to_hex(key))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        from_hex(&text).map(Bytes::from).ok_or_else(|| de::Error::custom("a key is written in hex"))
    }
}

/// A range: start and end in hex, no end for none.
pub mod range {
    use super::{Bytes, Deserialize, Deserializer, Serialize, Serializer, de, from_hex, to_hex};
    use crate::KeyRange;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Text {
        start: String,
        end: Option<String>,
    }

    pub fn serialize<S: Serializer>(range: &KeyRange, to: S) -> Result<S::Ok, S::Error> {
        Text { start: to_hex(&range.start), end: range.end.as_deref().map(to_hex) }.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<KeyRange, D::Error> {
        let text = Text::deserialize(from)?;
        let bytes = |hex: &str| from_hex(hex).map(Bytes::from).ok_or_else(|| de::Error::custom("a key is written in hex"));
        let range = KeyRange { start: bytes(&text.start)?, end: text.end.as_deref().map(bytes).transpose()? };
        if range.is_empty() { Err(de::Error::custom("a fragment's range is never empty")) } else { Ok(range) }
    }
}

fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text takes everything");
        text
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| if let [high, low] = *pair { Some(digit(high)? << 4 | digit(low)?) } else { None }).collect()
}
