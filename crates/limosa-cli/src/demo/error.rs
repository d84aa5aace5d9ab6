//! Why a demo can't go on, sorted by whose turn it is.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use limosa_core::Retry;
use limosa_node::PkiError;
use thiserror::Error;

/// A demo that did not come to its end.
#[derive(Debug, Error)]
pub(crate) enum DemoError {
    // The input.
    /// A file that can't be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line that is no record.
    #[error("{}, line {line}: {why}", path.display())]
    NoRecord {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A record without its key.
    #[error("{}, line {line}: {why}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What there is instead.
        why: String,
    },
    /// A file with too little in it.
    #[error("{}: {found} records, and a demo needs at least {needed}", path.display())]
    TooFew {
        /// The file.
        path: PathBuf,
        /// Records with different keys.
        found: usize,
        /// Fewest that make sense.
        needed: usize,
    },

    // The machine.
    /// A port that something else uses.
    #[error("port {port} is in use")]
    PortTaken {
        /// Which.
        port: u16,
    },
    /// A file or folder that can't be written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A process or thread that can't be started.
    #[error("can't start {what}: {source}")]
    NotStarted {
        /// What.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Certificates that can't be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// Somebody pressed Ctrl-C.
    #[error("interrupted; all nodes are stopped")]
    Interrupted,

    // The nodes.
    /// A node that ended by itself.
    #[error("the {node} ended by itself ({status}); the end of its log:\n{log}")]
    NodeEnded {
        /// Which.
        node: &'static str,
        /// How.
        status: String,
        /// Last lines of its log.
        log: String,
    },
    /// Something that did not happen in time.
    #[error("waited {} s for {what}; last seen: {seen}", waited.as_secs())]
    TooLate {
        /// What.
        what: String,
        /// How long.
        waited: Duration,
        /// What was seen instead.
        seen: String,
    },
    /// A command of ours that a node refused.
    #[error("the {node} answers: {message}")]
    Refused {
        /// Which.
        node: &'static str,
        /// Its words.
        message: String,
    },
    /// A connection to a node that broke.
    #[error("the connection to the {node} broke: {source}")]
    Broken {
        /// Which.
        node: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Something that must not be.
    #[error("scene {scene}: {what}")]
    Unexpected {
        /// In which scene.
        scene: u8,
        /// What.
        what: String,
    },
}

impl DemoError {
    /// The stable code, explained in `docs/errors.md`.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "demo.unreadable",
            Self::NoRecord { .. } => "demo.no_record",
            Self::NoKey { .. } => "demo.no_key",
            Self::TooFew { .. } => "demo.too_few",
            Self::PortTaken { .. } => "demo.port_taken",
            Self::File { .. } => "demo.file",
            Self::NotStarted { .. } => "demo.not_started",
            Self::Pki(error) => error.code(),
            Self::Interrupted => "demo.interrupted",
            Self::NodeEnded { .. } => "demo.node_ended",
            Self::TooLate { .. } => "demo.too_late",
            Self::Refused { .. } => "demo.refused",
            Self::Broken { .. } => "demo.broken",
            Self::Unexpected { .. } => "demo.unexpected",
        }
    }

    /// Whether the same command may work later.
    pub(crate) fn retry(&self) -> Retry {
        match self {
            Self::PortTaken { .. } | Self::NotStarted { .. } | Self::Interrupted | Self::TooLate { .. } => Retry::Later,
            Self::Pki(error) => error.retry(),
            _ => Retry::Never,
        }
    }

    /// What to do.
    pub(crate) fn action(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "check the path and its permissions",
            Self::NoRecord { .. } => "write one JSON object a line, such as {\"Package\": \"bash\", \"Version\": \"5.2\"}",
            Self::NoKey { .. } => "name a field with --key that every record has, as a string or a number",
            Self::TooFew { .. } => "give it a larger file, or leave --input away",
            Self::PortTaken { .. } => "choose 53 free ports with --ports BASE",
            Self::File { .. } => "check the path, its permissions and the free space; TMPDIR chooses where the demo keeps its folders",
            Self::NotStarted { .. } => "check the limits of processes, threads and open files",
            Self::TooLate { .. } => "try again when the machine has less to do, or with fewer --entries",
            Self::Pki(_) | Self::Interrupted => "",
            Self::NodeEnded { .. } | Self::Refused { .. } | Self::Broken { .. } | Self::Unexpected { .. } => {
                "this should not happen: please report it, with the command line and the seed"
            }
        }
    }

    /// Whether the user gave something that can't be used.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::NoRecord { .. } | Self::NoKey { .. } | Self::TooFew { .. } | Self::PortTaken { .. })
    }

    /// For `map_err` on the socket to a node.
    pub(super) fn broken(node: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Broken { node, source }
    }
}
