//! What the other steps need on the machine: installed where that needs no password, else named in one line.

use std::process::Command;

use super::Context;
use crate::process::{is_installed, run_logged};
use crate::workspace::cargo;

pub(super) fn check(context: &Context) -> Result<(), String> {
    component(context, "rustfmt", "fmt")?;
    component(context, "clippy", "clippy")?;
    if !is_installed("python3") {
        return Err("python3 is missing: install it (Debian: apt-get install python3 python3-venv)".into());
    }
    let mut venv = Command::new("python3");
    venv.args(["-c", "import ensurepip, venv"]);
    run_logged(venv, &context.folder.join("tools.log")).map_err(|_| {
        "python3 can't make virtual environments: install its venv module (Debian: apt-get install python3-venv)".to_owned()
    })?;
    servers(context)
}

/// The real servers that tests talk to, and what clients of other languages run on: program and Debian package.
const SERVERS: &[(&str, &str)] = &[
    ("etcd", "etcd-server"),
    ("etcdctl", "etcd-client"),
    ("redis-server", "redis-server"),
    ("redis-benchmark", "redis-tools"),
    ("node", "nodejs"),
    ("npm", "npm"),
];

/// Installs what is missing where this is a CI's own machine; a person's machine gets no servers unasked.
fn servers(context: &Context) -> Result<(), String> {
    let missing: Vec<&str> = SERVERS.iter().filter(|(program, _)| !is_installed(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let named = format!("{} missing: install them (Debian: apt-get install {})", missing.join(", "), missing.join(" "));
    if std::env::var_os("CI").is_none() || !is_installed("apt-get") {
        return Err(named);
    }
    let mut apt = Command::new("sh");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt.args(["-c", r#"apt-get update && apt-get install -y --no-install-recommends "$@""#, "sh"]).args(&missing);
    run_logged(apt, &context.folder.join("tools.log")).map_err(|error| format!("{named} ({error})"))
}

fn component(context: &Context, name: &str, subcommand: &str) -> Result<(), String> {
    let works = || cargo(&[subcommand, "--version"]).output().is_ok_and(|output| output.status.success());
    if works() {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["component", "add", name]);
    run_logged(rustup, &context.folder.join("tools.log"))
        .map_err(|error| format!("cargo {subcommand} is missing: `rustup component add {name}` ({error})"))
}
