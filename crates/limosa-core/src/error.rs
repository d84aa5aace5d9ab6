//! Errors of decoding, and what a caller may do about any error of Limosa.

use thiserror::Error;

/// What a driver does with an error; drivers look at nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// The same call will fail again: somebody must act first.
    Never,
    /// The same call may succeed later.
    Later,
    /// The ends must compare again (a new session) before the next try.
    AfterResync,
}

/// Bytes that are not what their format promises. The bytes came from a peer, a client or a disk: never a panic.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("the bytes end inside {field}")]
    Truncated {
        /// The field's name in the format's description.
        field: &'static str,
    },
    /// A declared size is above its limit; nothing was allocated for it.
    #[error("{field} is {value}, above its limit of {max}")]
    TooLarge {
        /// The field's name in the format's description.
        field: &'static str,
        /// What the bytes declare.
        value: u64,
        /// The limit.
        max: u64,
    },
    /// A field has a value that the format does not know.
    #[error("{field} is invalid: {why}")]
    Invalid {
        /// The field's name in the format's description.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The checksum does not match: damage on the way or at rest.
    #[error("{field} is damaged: its checksum does not match")]
    Damaged {
        /// What the checksum covers.
        field: &'static str,
    },
}
