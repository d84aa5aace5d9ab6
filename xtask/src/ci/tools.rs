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
    run_logged(venv, &context.folder.join("tools.log"))
        .map_err(|_| "python3 can't make virtual environments: install its venv module (Debian: apt-get install python3-venv)".into())
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
