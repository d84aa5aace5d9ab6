//! The async outer side of a node: certificates, peer connections, and the driver that joins engine and store to them.
//!
//! | Question | Module |
//! |---|---|
//! | Who is this node, and who may talk to it? | [`pki`] |
//! | What does a node do all day? | [`driver`] |
//! | How does a node reach the manifest that another one holds? | [`manifest_link`] |
//! | How do messages get to a peer and back? | [`transport`] |

pub mod driver;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod manifest_link;
pub mod pki;
pub mod transport;

pub use error::{PeerError, PkiError};
