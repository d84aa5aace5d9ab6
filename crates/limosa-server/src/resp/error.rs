//! Why a command was refused, in the words that Redis 7 uses: clients compare them.

use std::time::Duration;

use limosa_core::Retry;
use limosa_core::limits::USER_KEY_BYTES_MAX;
use thiserror::Error;

/// The keyspace below the front door failed: the store is poisoned, a block is damaged, the disk is full.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{message}")]
pub struct KeyspaceError {
    /// Stable code of the store's error.
    pub code: &'static str,
    /// What the store says.
    pub message: String,
    /// What the store says about another try.
    pub retry: Retry,
}

impl KeyspaceError {
    /// As if a gate had been shut: the picture says that the slot changes hands.
    pub(crate) fn waits() -> Self {
        Self { code: "store.parked", message: "the slot changes hands".to_owned(), retry: Retry::Later }
    }

    /// Whether the fragment's gate is shut: its commands wait, or another node serves it.
    pub(crate) fn is_shut(&self) -> bool {
        matches!(self.code, "store.parked" | "store.not_served")
    }

    /// Whether a value that was arriving in pieces was given up below.
    pub(crate) fn is_upload_ended(&self) -> bool {
        self.code == "store.upload_ended"
    }
}

/// A refused command. `Display` is the reply's text, its first word the class that clients look at.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CommandError {
    /// No such command; the arguments are quoted up to 128 bytes.
    #[error("ERR unknown command '{name}', with args beginning with: {args}")]
    UnknownCommand {
        /// As the client wrote it, at most 128 bytes.
        name: String,
        /// The arguments' beginning, each in quotes.
        args: String,
    },
    /// A known command has no such subcommand.
    #[error("ERR unknown subcommand '{sub}'. Try {command} HELP.")]
    UnknownSubcommand {
        /// Upper case.
        command: String,
        /// As the client wrote it, at most 128 bytes.
        sub: String,
    },
    /// Too many or too few arguments.
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(String),
    /// Options that do not exist or do not go together.
    #[error("ERR syntax error")]
    Syntax,
    /// An argument or a value that must be an integer is none.
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    /// A named argument that must be an integer is none.
    #[error("ERR {0} is not an integer or out of range")]
    ArgumentNotInteger(&'static str),
    /// An argument or a value that must be a number is none.
    #[error("ERR value is not a valid float")]
    NotFloat,
    /// The sum leaves 64 bits.
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    /// The decrement can't be negated.
    #[error("ERR decrement would overflow")]
    DecrementOverflow,
    /// The sum is no finite number.
    #[error("ERR increment would produce NaN or Infinity")]
    NotFinite,
    /// An expiry that is not positive, or beyond what milliseconds can say.
    #[error("ERR invalid expire time in '{0}' command")]
    ExpireTime(&'static str),
    /// NX together with XX, GT or LT.
    #[error("ERR NX and XX, GT or LT options at the same time are not compatible")]
    ExpireNx,
    /// GT together with LT.
    #[error("ERR GT and LT options at the same time are not compatible")]
    ExpireGtLt,
    /// An option that the command does not know.
    #[error("ERR Unsupported option {0}")]
    UnsupportedOption(String),
    /// A negative offset.
    #[error("ERR offset is out of range")]
    Offset,
    /// The value would be longer than a value may be.
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    ValueTooLong,
    /// The key is longer than a key may be. Redis has no such limit below the value's.
    #[error("ERR key exceeds maximum allowed size ({USER_KEY_BYTES_MAX} bytes)")]
    KeyTooLong,
    /// The reply would not fit into the connection's output buffer.
    #[error("ERR reply exceeds maximum allowed size ({0} bytes)")]
    ReplyTooLong(usize),
    /// A cursor that is no number.
    #[error("ERR invalid cursor")]
    Cursor,
    /// Only database 0 exists.
    #[error("ERR DB index is out of range")]
    Database,
    /// A write on a node that is not the owner.
    #[error("READONLY You can't write against a read only replica.")]
    ReadOnly,
    /// A read on a node that is not the owner, without READONLY.
    #[error("STANDBY This node is a standby. Send READONLY to read what it holds{}", owner_hint(.0.as_deref()))]
    Standby(Option<String>),
    /// The keyspace failed under a write.
    #[error("MISCONF Errors writing to the AOF file: {0}")]
    NotWritten(KeyspaceError),
    /// The keyspace failed under a read.
    #[error("ERR {0}")]
    NotRead(KeyspaceError),
    /// Keys of several slots in one command to a node of a cluster.
    #[error("CROSSSLOT Keys in request don't hash to the same slot")]
    CrossSlot,
    /// Another node serves the slot.
    #[error("MOVED {slot} {host}:{port}")]
    Moved {
        /// The keys' slot.
        slot: u16,
        /// What the client dials.
        host: String,
        /// The RESP port there.
        port: u16,
    },
    /// Nobody serves the slot.
    #[error("CLUSTERDOWN Hash slot not served: {why}")]
    Down {
        /// What blocks it.
        why: String,
    },
    /// The slot has been changing hands for too long.
    #[error("CLUSTERDOWN Hash slot not served: it has been changing hands for {} ms", .0.as_millis())]
    ParkedTooLong(Duration),
    /// Too much waits for slots that change hands; or a value that was arriving was given up by a cutover.
    #[error("TRYAGAIN {0}")]
    TryAgain(&'static str),
    /// Standbys did not acknowledge in time what the command wrote or saw.
    #[error("NOACK Not enough standbys confirmed in {} ms what this command wrote or read; it may be kept or lost", .0.as_millis())]
    NotAcked(Duration),
    /// Before standbys acknowledged what the command wrote or saw, this node lost the fragment other than by a move of its own.
    #[error("NOACK Another node took over before standbys confirmed what this command wrote or read; it may be kept or lost")]
    TakenOver,
    /// This node does not hold what the connection's token names.
    #[error("BEHIND This node has not caught up with the token after {} ms", .0.as_millis())]
    Behind(Duration),
    /// A command of Redis Cluster whose work is done by another program here.
    #[error("ERR CLUSTER {command} is not served: {instead}")]
    Elsewhere {
        /// Upper case.
        command: String,
        /// What does it.
        instead: &'static str,
    },
    /// A cluster command at a node that is in no cluster.
    #[error("ERR This instance has cluster support disabled")]
    NoCluster,
    /// Any other refusal, whole.
    #[error("{0}")]
    Text(String),
}

fn owner_hint(owner: Option<&str>) -> String {
    owner.map_or_else(|| ".".to_owned(), |address| format!(", or ask the owner at {address}."))
}

impl CommandError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownCommand { .. } | Self::UnknownSubcommand { .. } => "resp.unknown_command",
            Self::Arity(_) => "resp.arity",
            Self::KeyTooLong | Self::ValueTooLong | Self::ReplyTooLong(_) => "resp.limit",
            Self::ReadOnly => "resp.readonly",
            Self::Standby(_) => "resp.standby",
            Self::CrossSlot => "resp.cross_slot",
            Self::Moved { .. } => "resp.moved",
            Self::Down { .. } => "resp.down",
            Self::ParkedTooLong(_) => "resp.parked",
            Self::TryAgain(_) => "resp.try_again",
            Self::NotAcked(_) => "resp.not_acked",
            Self::TakenOver => "resp.taken_over",
            Self::Behind(_) => "resp.behind",
            Self::Elsewhere { .. } => "resp.elsewhere",
            Self::NoCluster => "resp.no_cluster",
            Self::NotWritten(error) | Self::NotRead(error) => error.code,
            _ => "resp.argument",
        }
    }

    /// What the client may do.
    pub fn retry(&self) -> Retry {
        match self {
            Self::NotWritten(error) | Self::NotRead(error) => error.retry,
            Self::ReadOnly | Self::Standby(_) | Self::Moved { .. } | Self::Down { .. } => Retry::Later,
            Self::ParkedTooLong(_) | Self::TryAgain(_) | Self::NotAcked(_) | Self::TakenOver | Self::Behind(_) => Retry::Later,
            _ => Retry::Never,
        }
    }

    /// Whether the command only has to be tried again when what it needs is in memory.
    pub(crate) fn is_cold(&self) -> bool {
        matches!(self, Self::NotRead(error) | Self::NotWritten(error) if error.code == super::keyspace::COLD)
    }

    /// Whether a gate was shut between routing and evaluation: the command is to be routed again.
    pub(crate) fn is_shut(&self) -> bool {
        matches!(self, Self::NotRead(error) | Self::NotWritten(error) if error.is_shut())
    }

    /// A refusal with a text of its own.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

impl From<KeyspaceError> for CommandError {
    fn from(error: KeyspaceError) -> Self {
        Self::NotRead(error)
    }
}
