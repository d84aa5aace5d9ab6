//! Keeps one session up: dials, runs it, waits, dials again, until nothing is wanted of it.

use std::sync::Arc;
use std::time::Duration;

use limosa_core::NodeName;
use limosa_wire::Purpose;
use tokio::sync::mpsc;

use super::{Addresses, Command, Wanted};
use crate::PeerError;
use crate::driver::node::Shared;
use crate::driver::registry::PeerRole;
use crate::driver::session_end::SessionEnd;
use crate::driver::target_session::{Scoped, TargetSession};
use crate::transport::{Backoff, Connection};

/// Longest wait before it dials again: a failover waits for it.
const REDIAL_MAX: Duration = Duration::from_millis(500);

pub(super) async fn run(
    shared: Arc<Shared>,
    addresses: Addresses,
    from: NodeName,
    purpose: Purpose,
    wanted: Wanted,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let mut backoff = Backoff::new(shared.random().unwrap_or(1));
    while !wanted.is_empty() {
        let address = addresses.lock().expect("nothing panics while it holds this lock").get(&from).cloned();
        let ended = match address {
            Some(address) => session(&shared, &address, &from, purpose, &wanted, &mut commands).await,
            None => Err(SessionEnd::NotOwner), // the manifest does not know it any more
        };
        wanted.release();
        let is_renamed = matches!(ended, Ok((SessionEnd::Reframed, _)));
        match ended {
            Ok((end, agreed)) => {
                tracing::info!(%from, code = end.code(), "a session ended: {end}");
                if agreed {
                    backoff.reset();
                }
            }
            Err(end) => tracing::debug!(%from, code = end.code(), "no session: {end}"),
        }
        if is_renamed {
            continue; // nothing failed: acknowledgements wait for it
        }
        // Nothing is applied now: what leaves has gone.
        let wait = tokio::time::sleep(backoff.next_wait().min(REDIAL_MAX));
        tokio::pin!(wait);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Leave(_, gone) | Command::End(gone)) => drop(gone.send(())),
                    None => return, // the node stops
                },
                () = &mut wait => break,
            }
            if wanted.is_empty() {
                return;
            }
        }
    }
}

async fn session(
    shared: &Arc<Shared>,
    address: &str,
    from: &NodeName,
    purpose: Purpose,
    wanted: &Wanted,
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> Result<(SessionEnd, bool), SessionEnd> {
    let connecting = Connection::connect(address, &shared.tls);
    tokio::pin!(connecting);
    let connection = loop {
        tokio::select! {
            connection = &mut connecting => break connection?,
            // Nothing is applied yet: whoever leaves need not wait until a peer that does not answer is given up.
            command = commands.recv() => match command {
                Some(Command::Leave(_, gone) | Command::End(gone)) => drop(gone.send(())),
                None => return Err(SessionEnd::RoleChanged),
            },
        }
        if wanted.is_empty() {
            return Err(SessionEnd::RoleChanged);
        }
    };
    if connection.peer_name() != from {
        let detail = format!("{} answers where {from} should be", connection.peer_name());
        return Err(PeerError::OtherCluster { detail }.into());
    }
    let peer = shared.registry.open(PeerRole::Owner, Some(from.to_string()), address.to_owned());
    let scoped = Scoped { scope: wanted.fix(), purpose, wanted: wanted.clone() };
    Ok(TargetSession::scoped(shared.clone(), connection, &peer, scoped).run_with(&peer, Some(commands)).await)
}
