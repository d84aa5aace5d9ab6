//! The HTTP calls of a demo, one after another.

use std::net::SocketAddr;

use limosa_server::http::api::{
    Checkpointed, Follow, Followed, Fragment, Outcome, Promoted, QuarantineFile, QuarantinePage, Readiness, Status, Transfer, Version,
};
use tokio::runtime::Runtime;

use super::error::DemoError;
use crate::args::Ask;
use crate::client::Client;
use crate::error::CliError;

/// Asks one node.
pub(super) struct Control {
    node: &'static str,
    client: Client,
    runtime: Runtime,
}

impl Control {
    pub(super) fn new(node: &'static str, address: SocketAddr) -> Result<Self, DemoError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| DemoError::NotStarted { what: "the HTTP client", source })?;
        let client = Client::new(&Ask { node: address.into(), bundle: None, json: false }).map_err(refused(node))?;
        Ok(Self { node, client, runtime })
    }

    /// What the node says of itself; none while nobody answers there.
    pub(super) fn try_status(&self) -> Result<Option<Status>, DemoError> {
        self.unless_unreachable(self.runtime.block_on(self.client.get("/v1/status")))
    }

    /// Whether the node can do its work; none while nobody answers there, or it says no.
    pub(super) fn try_ready(&self) -> Result<Option<Readiness>, DemoError> {
        match self.runtime.block_on(self.client.get::<Readiness>("/readyz")) {
            Err(CliError::Foreign { .. } | CliError::Refused(_)) => Ok(None), // not ready is an HTTP error with another body
            answer => self.unless_unreachable(answer),
        }
    }

    pub(super) fn status(&self) -> Result<Status, DemoError> {
        self.get("/v1/status")
    }

    /// Where each fragment stands. The journal may go on without any commit: it notes leases and floors, too.
    pub(super) fn versions(&self) -> Result<Vec<(u32, Version)>, DemoError> {
        let fragments: Vec<Fragment> = self.get("/v1/fragments")?;
        Ok(fragments.into_iter().map(|fragment| (fragment.id, fragment.head)).collect())
    }

    /// The newest transfer that was complete.
    pub(super) fn last_transfer(&self) -> Result<Option<Transfer>, DemoError> {
        let transfers: Vec<Transfer> = self.get("/v1/transfers")?;
        Ok(transfers.into_iter().find(|transfer| transfer.outcome == Outcome::Installed))
    }

    pub(super) fn promote(&self) -> Result<Promoted, DemoError> {
        self.runtime.block_on(self.client.post("/v1/promote")).map_err(refused(self.node))
    }

    pub(super) fn follow(&self, owner: SocketAddr) -> Result<Followed, DemoError> {
        let body = Follow { owner: owner.to_string() };
        self.runtime.block_on(self.client.post_json("/v1/follow", &body)).map_err(refused(self.node))
    }

    pub(super) fn checkpoint(&self) -> Result<Checkpointed, DemoError> {
        self.runtime.block_on(self.client.post("/v1/checkpoint")).map_err(refused(self.node))
    }

    pub(super) fn quarantine(&self) -> Result<Vec<QuarantineFile>, DemoError> {
        self.get("/v1/quarantine")
    }

    pub(super) fn quarantined(&self, name: &str, first: u64) -> Result<QuarantinePage, DemoError> {
        self.get(&format!("/v1/quarantine/{name}?first={first}"))
    }

    pub(super) fn post<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, DemoError> {
        self.runtime.block_on(self.client.post(path)).map_err(refused(self.node))
    }

    pub(super) fn post_json<T: serde::de::DeserializeOwned>(&self, path: &str, body: &impl serde::Serialize) -> Result<T, DemoError> {
        self.runtime.block_on(self.client.post_json(path, body)).map_err(refused(self.node))
    }

    pub(super) fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, DemoError> {
        self.runtime.block_on(self.client.get(path)).map_err(refused(self.node))
    }

    fn unless_unreachable<T>(&self, answer: Result<T, CliError>) -> Result<Option<T>, DemoError> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            // A node that starts or ends accepts connections that nobody answers.
            Err(CliError::Unreachable { .. } | CliError::Foreign { .. }) => Ok(None),
            Err(error) => Err(refused(self.node)(error)),
        }
    }
}

fn refused(node: &'static str) -> impl Fn(CliError) -> DemoError {
    move |error| DemoError::Refused { node, message: error.to_string() }
}
