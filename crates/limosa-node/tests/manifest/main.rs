//! The manifest over the nodes' own connections, under the contract of every manifest store.

mod link;
#[path = "../../../limosa-manifest/tests/contract/suite.rs"]
mod suite;
