//! `limosa status`: the node, its peers, and head, durable and acknowledged version of each fragment.

use std::time::Duration;

use limosa_server::http::api::{Damage, DurabilityWord, Fragment, Lease, Move, Peer, PeerState, Role, Status, Version};
use serde::Serialize;

use crate::args::{Ask, StatusArgs};
use crate::client::Client;
use crate::commands::{fragment, moves};
use crate::error::{CliError, Exit};
use crate::format::{bytes, count, percent, seconds, several};
use crate::output::{self, Paint, paint};

/// Both answers in one document.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    status: Status,
    each_fragment: Vec<Fragment>,
    moves: Vec<Move>,
}

/// How often a watched status is printed.
const WATCH: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: &StatusArgs) -> Result<Exit, CliError> {
    loop {
        let exit = once(&args.ask, args.watch).await?;
        if !args.watch {
            return Ok(exit);
        }
        tokio::time::sleep(WATCH).await;
    }
}

async fn once(ask: &Ask, watched: bool) -> Result<Exit, CliError> {
    let client = Client::new(ask)?;
    let status: Status = client.get("/v1/status").await?;
    let each_fragment: Vec<Fragment> = client.get("/v1/fragments").await?;
    let moves: Vec<Move> = if status.clustered { client.get("/v1/moves").await? } else { Vec::new() };
    let whole = Whole { status, each_fragment, moves };
    match (ask.json, watched) {
        (true, true) => output::json_line(&whole)?,
        (true, false) => output::json(&whole)?,
        (false, true) => output::print(&format!("{}{}", output::cleared(), text(whole)))?,
        (false, false) => output::print(&text(whole))?,
    }
    Ok(Exit::Yes)
}

fn text(whole: Whole) -> String {
    let Whole { status, each_fragment, moves } = whole;
    let mut text = format!("{}\n{}{}\n", node(&status), peers(&status.peers), leases(&status.leases));
    if !moves.is_empty() {
        text += &format!("{}\n", moves::table(&moves));
    }
    text + &fragments(each_fragment)
}

fn node(status: &Status) -> String {
    let role = match &status.role {
        Role::Owner => "owner".to_owned(),
        Role::Member => "member of a cluster".to_owned(),
        Role::Standby { of } => format!("standby of {of}"),
    };
    let durability = match status.durability {
        DurabilityWord::Commit => "flushed before the answer",
        DurabilityWord::Interval => "flushed once a second",
    };
    let totals = &status.fragments;
    let mut text = format!("{}  {role}, up {}\n", paint(&status.node, Paint::Strong), seconds(status.uptime_s));
    text += &format!("  cluster  {}, incarnation {}, limosa {}\n", status.cluster, status.incarnation, status.version);
    text += &format!("  listens  clients {}, peers {}, http {}\n", status.listening.resp, status.listening.peer, status.listening.http);
    text += &format!("  commits  {} visible, {} durable; writes are {durability}\n", count(status.head), count(status.durable));
    text += &format!(
        "  holds    {} with {} ({}) and {}\n",
        several(totals.count, "fragment", "fragments"),
        several(totals.entries, "entry", "entries"),
        bytes(totals.bytes),
        several(totals.tombstones, "remembered deletion", "remembered deletions"),
    );
    let memory = &status.memory;
    text += &format!("  memory   {} of {}, {} of it not in a checkpoint\n", bytes(memory.used), bytes(memory.max), bytes(memory.dirty));
    if status.quarantined > 0 {
        let files = several(status.quarantined, "file", "files");
        text += &paint(&format!("  set aside  {files}: see `limosa quarantine list`\n"), Paint::Bad);
    }
    text + &damage(&status.damage)
}

/// What the disk lost, and what peers gave back.
fn damage(damage: &Damage) -> String {
    let mut text = String::new();
    if damage.repaired > 0 {
        text += &format!("  repaired {} from a peer\n", several(damage.repaired, "damaged block", "damaged blocks"));
    }
    if damage.damaged > 0 {
        let blocks = several(damage.damaged, "block", "blocks");
        text += &paint(&format!("  damaged  {blocks} on this disk, asked for as soon as a peer is connected that has them\n"), Paint::Bad);
    }
    for block in &damage.blocks {
        let entries = several(block.entries, "entry", "entries");
        text += &paint(&format!("           f{} from {}: {entries}: {}\n", block.fragment, block.first_key, block.why), Paint::Bad);
    }
    text
}

fn peers(peers: &[Peer]) -> String {
    if peers.is_empty() {
        return "no peers\n".to_owned();
    }
    let mut table = output::table(["PEER", "ROLE", "STATE", "ACKNOWLEDGED", "LAG", "IN", "OUT", "ADDRESS"]);
    for peer in peers {
        table.add_row([
            peer.name.clone().unwrap_or_else(|| "?".to_owned()),
            peer.role.clone(),
            peer.state.word().to_owned(),
            peer.acknowledged.map_or_else(|| "-".to_owned(), count),
            format!("{}, {}", several(peer.lag_commits, "commit", "commits"), bytes(peer.lag_bytes)),
            bytes(peer.moved_bytes_in),
            bytes(peer.moved_bytes_out),
            peer.address.clone(),
        ]);
    }
    output::text(&table) + &peers.iter().filter_map(remark).collect::<String>()
}

/// For whom deletions are remembered: nothing is said of standbys that hold none back.
fn leases(all: &[Lease]) -> String {
    let line = |lease: &Lease| {
        let left = lease.ends_ms.saturating_sub(lease.renewed_ms) / 1000;
        let behind = several(lease.fragments_behind, "fragment", "fragments");
        format!(
            "lease of {}: deletions in {behind} are remembered, until {} after it was last heard of\n",
            lease.peer,
            seconds(left as f64)
        )
    };
    all.iter().filter(|lease| lease.fragments_behind > 0).map(line).collect()
}

/// One row for each fragment that was ever written; the others are counted.
fn fragments(mut all: Vec<Fragment>) -> String {
    let count = all.len();
    all.retain(|fragment| fragment.head != Version::default());
    match (all.len(), count - all.len()) {
        (0, never) => format!("{} without a write yet\n", several(never as u64, "fragment", "fragments")),
        (_, 0) => fragment::table(&all),
        (_, never) => format!("{}and {} without a write yet\n", fragment::table(&all), several(never as u64, "fragment", "fragments")),
    }
}

/// What a row has no room for: progress, or what blocks a peer.
fn remark(peer: &Peer) -> Option<String> {
    let name = peer.name.as_deref().unwrap_or(&peer.address);
    if peer.state == PeerState::Blocked {
        let why = peer.blocked_because.as_deref().unwrap_or("the node does not say why");
        return Some(paint(&format!("{name}: blocked because {why}\n"), Paint::Bad));
    }
    let progress = peer.progress.as_ref()?;
    let left = progress.eta_s.map_or_else(String::new, |eta| format!(", {} left", seconds(eta)));
    Some(format!(
        "{name}: {}, {} of {} ({} %) by {}, {}/s{left}\n",
        progress.phase,
        bytes(progress.bytes_done),
        bytes(progress.bytes_total),
        percent(progress.bytes_done, progress.bytes_total),
        progress.method,
        bytes(progress.rate_bytes_per_s.max(0.0) as u64),
    ))
}
