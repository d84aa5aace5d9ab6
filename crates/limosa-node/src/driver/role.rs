//! What a node is to its state, and how the store remembers it.

use limosa_manifest::ManifestError;
use limosa_store::StoreError;
use thiserror::Error;

use limosa_core::Retry;

/// What a node is to its state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// It takes writes, and always did.
    Owner,
    /// It takes writes since an operator promoted it.
    Promoted,
    /// Between the two: it follows nobody and takes no writes yet.
    Promoting,
    /// It is a member of a cluster: the manifest says what it is to each fragment.
    Member,
    /// It keeps a copy of the owner at this peer address.
    Standby {
        /// Host and port.
        of: String,
    },
}

/// A node can't take up its role.
#[derive(Debug, Error)]
pub enum RoleError {
    /// The folder holds writes that were taken as owner after a promotion.
    #[error(
        "this folder was promoted to owner: following {of} would set its own writes aside. Start it without --standby-of, then run \
         `limosa follow {of}` if that is what you want"
    )]
    Promoted {
        /// The owner that was named.
        of: String,
    },
    /// The folder belongs to a cluster, and no manifest is named.
    #[error(
        "this folder is of a member of a cluster: start it with the cluster's manifest (setting `manifest`), which says what it owns; \
         on its own it would serve what others own by now"
    )]
    Member,
    /// The store remembers a role that this program does not know.
    #[error("the store remembers the role {found:?}, which this program does not know: open it with the newer program")]
    Unknown {
        /// What it remembers.
        found: String,
    },
    /// The manifest's file can't be opened.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The operating system gives no randomness.
    #[error("no randomness for an id: {0}")]
    Randomness(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RoleError {
    /// The stable code, explained in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Promoted { .. } => "role.promoted",
            Self::Member => "role.member",
            Self::Unknown { .. } => "role.unknown",
            Self::Manifest(error) => error.code(),
            Self::Randomness(_) => "session.randomness",
            Self::Store(error) => error.code(),
        }
    }

    /// What a driver may do.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Store(error) => error.retry(),
            _ => Retry::Never,
        }
    }
}

impl Role {
    /// Whether writes are taken: by a member of a cluster as far as the gates of the fragments let them through.
    pub fn is_owner(&self) -> bool {
        matches!(self, Self::Owner | Self::Promoted | Self::Member)
    }

    /// Whether the manifest says what this node is to each fragment.
    pub fn is_member(&self) -> bool {
        *self == Self::Member
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Owner => b"owner".to_vec(),
            Self::Promoted => b"promoted".to_vec(),
            Self::Member => b"member".to_vec(),
            Self::Promoting => unreachable!("never remembered: a crash in between leaves a standby"),
            Self::Standby { of } => format!("standby {of}").into_bytes(),
        }
    }

    /// What is remembered, unless `standby_of` says otherwise; an owner where nothing does.
    pub(super) fn at_start(remembered: &[u8], standby_of: Option<String>) -> Result<Self, RoleError> {
        let text = String::from_utf8_lossy(remembered).into_owned();
        match (text.as_str(), standby_of) {
            ("promoted", Some(of)) => Err(RoleError::Promoted { of }),
            ("member", _) => Err(RoleError::Member),
            ("" | "owner", Some(of)) => Ok(Self::Standby { of }),
            ("" | "owner", None) => Ok(Self::Owner),
            ("promoted", None) => Ok(Self::Promoted),
            (other, standby_of) => {
                let of = other.strip_prefix("standby ").ok_or_else(|| RoleError::Unknown { found: text.clone() })?;
                Ok(Self::Standby { of: standby_of.unwrap_or_else(|| of.to_owned()) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promoted_folder_is_not_made_a_standby_by_an_old_flag() {
        let standby = Role::Standby { of: "a:1".into() };
        let flag = || Some("b:2".to_owned());
        let at = |remembered: &[u8], flag| Role::at_start(remembered, flag);
        assert_eq!(at(b"", None).expect("owner"), Role::Owner);
        assert_eq!(at(b"", flag()).expect("standby"), Role::Standby { of: "b:2".into() });
        assert_eq!(at(&standby.encode(), None).expect("remembered"), standby);
        assert_eq!(at(&standby.encode(), flag()).expect("flag"), Role::Standby { of: "b:2".into() });
        assert_eq!(at(&Role::Promoted.encode(), None).expect("promoted"), Role::Promoted);
        assert!(matches!(at(&Role::Promoted.encode(), flag()), Err(RoleError::Promoted { .. })));
        assert!(matches!(at(&Role::Member.encode(), None), Err(RoleError::Member)), "others own by now what it would serve");
        assert!(matches!(at(b"gardener", None), Err(RoleError::Unknown { .. })));
    }
}
