//! The client port through redis-py: real Redis first, where there is one, so that the expectations themselves are checked.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Context;
use crate::process::{is_installed, run_logged};
use crate::workspace::root;

const REDIS_PY: &str = "redis==8.1.0";
const REDIS: &str = r#"redis-server --port {port} --dir {dir} --appendonly yes --save """#;
const LIMOSA: &str = "serve --data {dir}/data --resp 127.0.0.1:{port} --peer 127.0.0.1:{port2} --http 127.0.0.1:{port3}";

pub(super) fn check(context: &Context) -> Result<(), String> {
    let python = virtual_environment(context)?;
    if is_installed("redis-server") {
        run(context, &python, "redis-py-oracle", &["--oracle", "--server", REDIS])?;
    } else {
        println!("  no redis-server here: the expectations are not checked against real Redis (Debian: apt-get install redis-server)");
    }
    let limosa = format!("'{}' {LIMOSA}", context.metadata.program("limosa").display());
    run(context, &python, "redis-py", &["--server", &limosa])
}

/// A Python that has redis-py, made once.
pub(super) fn virtual_environment(context: &Context) -> Result<PathBuf, String> {
    let folder = context.folder.join(format!("venv-{REDIS_PY}"));
    let python = folder.join("bin/python");
    let complete = folder.join("complete");
    if !complete.exists() {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(&folder);
        run_logged(venv, &context.folder.join("venv.log"))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", REDIS_PY]);
        run_logged(pip, &context.folder.join("pip.log"))?;
        std::fs::write(&complete, "").map_err(|error| format!("can't write {}: {error}", complete.display()))?;
    }
    Ok(python)
}

fn run(context: &Context, python: &Path, log: &str, args: &[&str]) -> Result<(), String> {
    let log = context.folder.join(format!("{log}.log"));
    let mut command = Command::new(python);
    command.arg("-B").arg("redis_py.py").args(args).current_dir(root().join("tests/clients"));
    run_logged(command, &log)?;
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    println!("  {}", text.lines().last().unwrap_or_default());
    Ok(())
}
