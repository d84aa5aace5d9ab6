//! `limosa cluster`, `limosa node`, `limosa locate` and `limosa safe-to-stop`: who is there and who has what.

use limosa_server::http::api::{Cell, ClusterNode, Init, Initialised, Joined, Located, Removed, SafeToStop};

use crate::args::Ask;
use crate::args::cluster::{ClusterInit, Locate, NodeRemove, SafeToStop as SafeArgs};
use crate::client::{Client, escaped};
use crate::error::{CliError, Exit};
use crate::format::{bytes, count, several};
use crate::output::{self, Paint, paint};

pub(crate) async fn init(args: &ClusterInit) -> Result<Exit, CliError> {
    let made: Initialised = Client::new(&args.ask)?.post_json("/v1/cluster", &Init { from: args.from.clone() }).await?;
    if args.ask.json {
        output::json(&made)?;
    } else if args.from.is_some() {
        let fragments = several(made.fragments, "fragment", "fragments");
        output::print(&format!(
            "cluster {}: the manifest of {fragments} is in etcd now, and the old one is retired\nnext: start the other nodes with the same --manifest\n",
            made.cluster
        ))?;
    } else {
        let fragments = several(made.fragments, "fragment", "fragments");
        output::print(&format!(
            "cluster {}: {fragments} with one owner\nnext: start another node with --cluster {} and run `limosa node join` there\n",
            made.cluster, made.cluster
        ))?;
    }
    Ok(Exit::Yes)
}

pub(crate) async fn join(ask: &Ask) -> Result<Exit, CliError> {
    let joined: Joined = Client::new(ask)?.post("/v1/nodes").await?;
    if ask.json {
        output::json(&joined)?;
    } else {
        let nodes = several(joined.nodes, "node", "nodes");
        output::print(&format!(
            "{} is in, {nodes} now\nnext: `limosa plan rebalance`, or watch it become a copy with `limosa cluster cells`\n",
            joined.node
        ))?;
    }
    Ok(Exit::Yes)
}

pub(crate) async fn remove(args: &NodeRemove) -> Result<Exit, CliError> {
    let removed: Removed = Client::new(&args.ask)?.delete(&format!("/v1/nodes/{}", args.name)).await?;
    if args.ask.json {
        output::json(&removed)?;
    } else {
        output::print(&format!("the cluster does not know {} any more\n", removed.node))?;
    }
    Ok(Exit::Yes)
}

pub(crate) async fn nodes(ask: &Ask) -> Result<Exit, CliError> {
    let nodes: Vec<ClusterNode> = Client::new(ask)?.get("/v1/nodes").await?;
    if ask.json {
        output::json(&nodes)?;
    } else {
        output::print(&nodes_table(&nodes))?;
    }
    Ok(Exit::Yes)
}

/// One row for each node.
pub(crate) fn nodes_table(nodes: &[ClusterNode]) -> String {
    let mut table = output::table(["NODE", "STATE", "OWNS", "COPIES", "BYTES", "ZONE", "CLIENTS", "PEERS", "HTTP", "LABELS"]);
    for node in nodes {
        let state = match (node.alive, node.leaving) {
            (false, _) => "silent",
            (true, true) => "leaving",
            (true, false) => "alive",
        };
        let labels: Vec<String> = node.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        table.add_row([
            node.name.clone(),
            state.to_owned(),
            count(node.owns),
            count(node.copies),
            bytes(node.bytes),
            dash(&node.zone),
            node.resp.clone(),
            node.peer.clone(),
            node.http.clone(),
            dash(&labels.join(" ")),
        ]);
    }
    output::text(&table)
}

pub(crate) async fn cells(ask: &Ask) -> Result<Exit, CliError> {
    let cells: Vec<Cell> = Client::new(ask)?.get("/v1/cells").await?;
    if ask.json {
        output::json(&cells)?;
    } else {
        output::print(&cells_table(&cells))?;
    }
    Ok(Exit::Yes)
}

fn cells_table(cells: &[Cell]) -> String {
    let mut table = output::table(["FRAGMENT", "SLOTS", "OWNER", "EPOCH", "COMPLETE", "BECOMING", "FLUSHED BY", "BYTES", "MOVES TO"]);
    for cell in cells {
        let fenced = || cell.fenced_by.as_ref().map_or_else(|| "nobody".to_owned(), |by| format!("nobody, fenced by {by}"));
        table.add_row([
            format!("f{}", cell.fragment),
            cell.slots.to_string(),
            cell.owner.clone().unwrap_or_else(fenced) + if cell.loss_accepted { " (a loss was accepted)" } else { "" },
            cell.epoch.to_string(),
            dash(&cell.sync_set.join(" ")),
            dash(&cell.replicas.join(" ")),
            if cell.flushed_min == 0 { "the owner".to_owned() } else { format!("the owner and {}", cell.flushed_min) },
            cell.bytes.map_or_else(|| "?".to_owned(), bytes),
            cell.moving_to.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    output::text(&table)
}

pub(crate) async fn locate(args: &Locate) -> Result<Exit, CliError> {
    let found: Located = Client::new(&args.ask)?.get(&format!("/v1/locate?key={}", escaped(&args.key))).await?;
    if args.ask.json {
        output::json(&found)?;
    } else {
        let owner = found.owner.as_deref().unwrap_or("nobody right now");
        let at = found.resp.as_ref().map_or_else(String::new, |resp| format!(" at {resp}"));
        let copies = dash(&found.sync_set.join(" "));
        let moving = found.moving_to.as_ref().map_or_else(String::new, |to| format!("; moving to {to}"));
        output::print(&format!("slot {} in f{}: owned by {owner}{at}; complete copies: {copies}{moving}\n", found.slot, found.fragment))?;
    }
    Ok(Exit::Yes)
}

pub(crate) async fn safe_to_stop(args: &SafeArgs) -> Result<Exit, CliError> {
    let name = args.of.as_ref().map_or_else(|| "self".to_owned(), ToString::to_string);
    let answer: SafeToStop = Client::new(&args.ask)?.get(&format!("/v1/nodes/{name}/safe-to-stop")).await?;
    if args.ask.json {
        output::json(&answer)?;
    } else {
        let word = if answer.safe { paint("yes", Paint::Good) } else { paint("NO", Paint::Bad) };
        let reasons: String = answer.because.iter().map(|why| format!("  {why}\n")).collect();
        output::print(&format!("{word}: {}\n{reasons}", answer.node))?;
    }
    Ok(if answer.safe { Exit::Yes } else { Exit::No })
}

fn dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}
