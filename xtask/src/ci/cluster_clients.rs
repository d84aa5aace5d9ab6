//! Cluster clients while slots change hands: redis-py, ioredis and redis-benchmark, none of which may show an error to its application.

use std::process::Command;

use super::Context;
use super::clients::virtual_environment;
use crate::process::{Server, free_ports, is_installed, output_of, run_logged};
use crate::workspace::{cargo, root};

const IOREDIS: &str = "ioredis@5.11.1";
const SECONDS: &str = "5";
/// A run of slots moves so often, and is parked for so long, milliseconds.
const MOVES_MS: [&str; 2] = ["10", "5"];

pub(super) fn check(context: &Context) -> Result<(), String> {
    let log = |name: &str| context.folder.join(format!("{name}.log"));
    run_logged(cargo(&["build", "--release", "-p", "limosa-server", "--example", "resp_cluster"]), &log("cluster-build"))?;
    let ports = free_ports::<3>()?;
    let mut doors = Command::new(context.metadata.example("resp_cluster"));
    doors.args(MOVES_MS).args(ports.map(|port| port.to_string()));
    let _doors = Server::start(doors, log("cluster-doors"), ports[2])?;
    let at = format!("127.0.0.1:{}", ports[0]);

    let mut python = Command::new(virtual_environment(context)?);
    python.args(["-B", "cluster_redis_py.py", "--seconds", SECONDS, "--at", &at]).current_dir(root().join("tests/clients"));
    told(python, context, "cluster-redis-py")?;
    ioredis(context, &at)?;
    benchmark(ports[0])
}

/// In its own folder of modules, made once.
fn ioredis(context: &Context, at: &str) -> Result<(), String> {
    let folder = context.folder.join(format!("node-{IOREDIS}"));
    let complete = folder.join("complete");
    if !complete.exists() {
        std::fs::create_dir_all(&folder).map_err(|error| format!("can't make {}: {error}", folder.display()))?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--prefix"]).arg(&folder).arg(IOREDIS);
        run_logged(npm, &context.folder.join("npm.log"))?;
        std::fs::write(&complete, "").map_err(|error| format!("can't write {}: {error}", complete.display()))?;
    }
    let mut node = Command::new("node");
    node.arg(root().join("tests/clients/cluster_ioredis.js")).args([at, SECONDS]).env("NODE_PATH", folder.join("node_modules"));
    told(node, context, "cluster-ioredis")
}

/// Runs a client and shows its last line.
fn told(client: Command, context: &Context, name: &str) -> Result<(), String> {
    let log = context.folder.join(format!("{name}.log"));
    run_logged(client, &log)?;
    println!("  {}", std::fs::read_to_string(&log).unwrap_or_default().lines().last().unwrap_or_default());
    Ok(())
}

/// redis-benchmark ends with a code of its own when a node answers with an error that is no redirect.
fn benchmark(port: u16) -> Result<(), String> {
    if !is_installed("redis-benchmark") {
        return Err("redis-benchmark is missing: install it (Debian: apt-get install redis-tools)".into());
    }
    let mut benchmark = Command::new("redis-benchmark");
    benchmark.args(["--cluster", "-p", &port.to_string(), "-c", "20", "-n", "20000", "-r", "10000", "-t", "set,get", "--csv"]);
    let text = output_of(benchmark)?;
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("\"SET\"") || line.starts_with("\"GET\"")).collect();
    if lines.len() != 2 {
        return Err(format!("redis-benchmark --cluster did not come to its end:\n{text}"));
    }
    println!("  redis-benchmark --cluster: {}", lines.join("  "));
    Ok(())
}
