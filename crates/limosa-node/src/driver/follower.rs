//! Keeps a standby connected with its owner: dials, runs a session, waits, dials again.

use std::sync::Arc;

use super::node::Shared;
use super::registry::{PeerHandle, PeerRole};
use super::role::Role;
use super::session_end::SessionEnd;
use super::target_session::TargetSession;
use crate::transport::{Backoff, Connection};

/// Follows whatever owner the role names, for as long as the node runs.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut role = shared.role.subscribe();
    loop {
        let now = role.borrow_and_update().clone();
        match now {
            Role::Standby { of } => {
                tokio::select! {
                    () = follow(&shared, &of) => {}
                    () = changed(&mut role) => {}
                }
            }
            _ => changed(&mut role).await,
        }
    }
}

/// Returns when the role has changed; never when the node has gone, since nobody follows then.
async fn changed(role: &mut tokio::sync::watch::Receiver<Role>) {
    if role.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn follow(shared: &Arc<Shared>, owner: &str) {
    let peer = shared.registry.open(PeerRole::Owner, None, owner.to_owned());
    let mut backoff = Backoff::new(shared.random().unwrap_or(1));
    loop {
        match session(shared, owner, &peer).await {
            Ok((end, agreed)) => {
                tracing::info!(owner, code = end.code(), "session with the owner ended: {end}");
                if agreed || matches!(end, SessionEnd::Reset) {
                    backoff.reset();
                }
            }
            Err(end) => {
                tracing::warn!(owner, code = end.code(), "no session with the owner: {end}");
                peer.update(|status| status.blocked = end.blocks().then(|| end.to_string()));
            }
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

async fn session(shared: &Arc<Shared>, owner: &str, peer: &PeerHandle) -> Result<(SessionEnd, bool), SessionEnd> {
    let connection = Connection::connect(owner, &shared.tls).await?;
    Ok(TargetSession::new(shared.clone(), connection, peer).run(peer).await)
}
