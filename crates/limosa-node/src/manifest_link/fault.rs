//! An error of the store as it crosses the link: the caller sees the same code with the same fields.

use limosa_manifest::ManifestError;
use prost::Message;

/// The error's code and fields.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FaultText {
    #[prost(string, tag = "1")]
    code: String,
    /// The entry, the setting, or what is too large.
    #[prost(string, tag = "2")]
    what: String,
    #[prost(string, tag = "3")]
    why: String,
    #[prost(uint64, tag = "4")]
    value: u64,
    #[prost(uint64, tag = "5")]
    bound: u64,
}

impl FaultText {
    pub(super) fn of(error: &ManifestError) -> Self {
        let code = error.code().to_owned();
        let text = |what: &str, why: &str| Self { code: code.clone(), what: what.to_owned(), why: why.to_owned(), value: 0, bound: 0 };
        match error {
            ManifestError::Unavailable { why } | ManifestError::Denied { why } | ManifestError::Poisoned { why } => text("", why),
            ManifestError::Unknown { key, why } | ManifestError::Damaged { key, why } => text(key, why),
            ManifestError::Conflict { key } => text(key, ""),
            ManifestError::Compacted { oldest } => Self { value: *oldest, ..text("", "") },
            ManifestError::Limit { what, value, max } => Self { value: *value, bound: *max, ..text(what, "") },
            ManifestError::Config { what, why } => text(what, why),
            other => text("", &other.to_string()),
        }
    }

    /// A call that can't be read.
    pub(super) fn malformed(why: &str) -> Self {
        Self::of(&ManifestError::Config { what: "a call", why: why.to_owned() })
    }

    pub(super) fn error(self) -> ManifestError {
        let Self { code, what, why, value, bound } = self;
        match code.as_str() {
            "manifest.unavailable" => ManifestError::Unavailable { why },
            "manifest.unknown_outcome" => ManifestError::Unknown { key: what, why },
            "manifest.conflict" => ManifestError::Conflict { key: what },
            "manifest.compacted" => ManifestError::Compacted { oldest: value },
            "manifest.denied" => ManifestError::Denied { why },
            "manifest.damaged" => ManifestError::Damaged { key: what, why },
            "manifest.poisoned" => ManifestError::Poisoned { why },
            "manifest.limit" => ManifestError::Limit { what: "something in a call to the manifest", value, max: bound },
            "manifest.config" => ManifestError::Config { what: "manifest", why: format!("{what}: {why}") },
            _ => ManifestError::Poisoned { why: format!("{code}: {why}") }, // what only a newer program says: nobody here can mend it
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_code_and_what_a_driver_does_about_it() {
        let text = || "text".to_owned();
        for error in [
            ManifestError::Unavailable { why: text() },
            ManifestError::Unknown { key: text(), why: text() },
            ManifestError::Conflict { key: text() },
            ManifestError::Compacted { oldest: 7 },
            ManifestError::Denied { why: text() },
            ManifestError::Damaged { key: text(), why: text() },
            ManifestError::Poisoned { why: text() },
            ManifestError::Limit { what: "entries", value: 9, max: 8 },
            ManifestError::Config { what: "lease", why: text() },
        ] {
            let crossed = FaultText::of(&error).error();
            assert_eq!((crossed.code(), crossed.retry()), (error.code(), error.retry()));
        }
    }
}
