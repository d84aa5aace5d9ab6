//! INFO: figures in the sections and under the names that tools for Redis read.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::super::call::{Call, Done, View, is};
use super::super::node::{Node, Replica};
use super::super::session::Session;
use super::connection::{self, REDIS_VERSION};

type Section = fn(&Session, &View<'_>, &mut String);

/// Sections in the order of their output; all are in the default set.
const SECTIONS: [(&str, Section); 8] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("Cluster", cluster),
    ("Keyspace", keyspace),
];

pub(super) fn info(call: &mut Call<'_>, view: &View<'_>) -> Done {
    let wanted = &call.args[1..];
    let is_all = wanted.is_empty() || wanted.iter().any(|name| ["ALL", "DEFAULT", "EVERYTHING"].iter().any(|all| is(name, all)));
    let mut text = String::new();
    for (name, write) in SECTIONS {
        if is_all || wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name.as_bytes())) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            line(&mut text, format_args!("# {name}"));
            write(call.session, view, &mut text);
        }
    }
    call.reply.verbatim(&text);
    Ok(())
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = write!(text, "{line}\r\n");
}

fn server(session: &Session, _: &View<'_>, text: &mut String) {
    let shared = &session.shared;
    let uptime_s = shared.started.elapsed().as_secs();
    line(text, format_args!("redis_version:{REDIS_VERSION}"));
    line(text, format_args!("limosa_version:{}", env!("CARGO_PKG_VERSION")));
    line(text, format_args!("redis_mode:{}", if session.cluster.picture.is_some() { "cluster" } else { "standalone" }));
    line(text, format_args!("os:{} {}", std::env::consts::OS, std::env::consts::ARCH));
    line(text, format_args!("arch_bits:{}", usize::BITS));
    line(text, format_args!("process_id:{}", std::process::id()));
    line(text, format_args!("run_id:{}", shared.options.run_id));
    line(text, format_args!("tcp_port:{}", shared.node.facts().port));
    line(text, format_args!("server_time_usec:{}", shared.now_us()));
    line(text, format_args!("uptime_in_seconds:{uptime_s}"));
    line(text, format_args!("uptime_in_days:{}", uptime_s / 86_400));
}

fn clients(session: &Session, _: &View<'_>, text: &mut String) {
    let shared = &session.shared;
    line(text, format_args!("connected_clients:{}", shared.registry.len()));
    line(text, format_args!("maxclients:{}", shared.settings.clients_max.load(Ordering::Relaxed)));
    line(text, format_args!("blocked_clients:{}", shared.parking.clients()));
}

fn memory(_: &Session, view: &View<'_>, text: &mut String) {
    let facts = (view.facts)();
    let resident_bytes = resident_bytes().unwrap_or(facts.live_bytes);
    line(text, format_args!("used_memory:{resident_bytes}"));
    line(text, format_args!("used_memory_rss:{resident_bytes}"));
    line(text, format_args!("used_memory_dataset:{}", facts.live_bytes));
    line(text, format_args!("maxmemory:{}", facts.memory_max));
    line(text, format_args!("maxmemory_policy:noeviction"));
    line(text, format_args!("limosa_memory:{}", facts.memory_bytes));
    line(text, format_args!("limosa_blocks_dropped:{}", facts.blocks_dropped));
    line(text, format_args!("limosa_blocks_read:{}", facts.blocks_read));
}

/// Memory of the process, as Linux tells it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib: u64 = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

fn persistence(_: &Session, view: &View<'_>, text: &mut String) {
    line(text, format_args!("loading:0"));
    let facts = (view.facts)();
    line(text, format_args!("rdb_saves:{}", facts.checkpoints));
    line(text, format_args!("aof_enabled:1"));
    line(text, format_args!("aof_current_size:{}", facts.journal_bytes));
    line(text, format_args!("limosa_group_commits:{}", facts.flushes));
}

fn stats(session: &Session, _: &View<'_>, text: &mut String) {
    let stats = &session.shared.stats;
    let counters = [
        ("total_connections_received", &stats.connections),
        ("total_commands_processed", &stats.commands),
        ("total_net_input_bytes", &stats.read_bytes),
        ("total_net_output_bytes", &stats.written_bytes),
        ("rejected_connections", &stats.rejected),
        ("keyspace_hits", &stats.hits),
        ("keyspace_misses", &stats.misses),
        ("total_error_replies", &stats.errors),
        ("limosa_group_commits_by_clients", &stats.flushes),
    ];
    for (name, counter) in counters {
        line(text, format_args!("{name}:{}", counter.load(Ordering::Relaxed)));
    }
}

fn replication(session: &Session, _: &View<'_>, text: &mut String) {
    let node = &*session.shared.node;
    let replicas = node.replicas();
    if connection::role(session) == "master" {
        line(text, format_args!("role:master"));
    } else {
        standby(node, text);
    }
    line(text, format_args!("connected_slaves:{}", replicas.len()));
    for (index, replica) in replicas.iter().enumerate() {
        let Replica { host, port, durable, is_live } = replica;
        let state = if *is_live { "online" } else { "wait_bgsave" };
        line(text, format_args!("slave{index}:ip={host},port={port},state={state},offset={durable},lag=0"));
    }
}

fn standby(node: &dyn Node, text: &mut String) {
    line(text, format_args!("role:slave"));
    if let Some((host, port)) = node.owner_address().as_deref().and_then(|address| address.rsplit_once(':')) {
        line(text, format_args!("master_host:{host}"));
        line(text, format_args!("master_port:{port}"));
    }
    line(text, format_args!("master_link_status:{}", if node.is_linked() { "up" } else { "down" }));
    line(text, format_args!("slave_read_only:1"));
}

fn cluster(session: &Session, _: &View<'_>, text: &mut String) {
    line(text, format_args!("cluster_enabled:{}", u8::from(session.cluster.picture.is_some())));
}

fn keyspace(_: &Session, view: &View<'_>, text: &mut String) {
    let keys = view.keys.key_count();
    if keys > 0 {
        line(text, format_args!("db0:keys={keys},expires=0,avg_ttl=0"));
    }
}
