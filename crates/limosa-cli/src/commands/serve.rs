//! `limosa serve`: flags from the table of settings, logs, signals.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};
use limosa_server::ServerError;
use limosa_server::config::{ConfigError, Origin, Setting, Settings, ValidConfig};
use limosa_server::server::{Server, Started};
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::error::{CliError, Exit};
use crate::output::{self, Paint, paint};

/// Flags of `limosa serve`: one for each [`Setting`], so that flags, variables, file keys and help can't drift apart.
#[derive(Clone, Debug)]
pub(crate) struct ServeArgs {
    config: Option<PathBuf>,
    flags: Vec<(Setting, String)>,
    pub(crate) json: bool,
}

impl Args for ServeArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        let config = Arg::new("config").long("config").value_name("FILE").env("LIMOSA_CONFIG").value_parser(clap::value_parser!(PathBuf));
        let json = Arg::new("json").long("json").action(ArgAction::SetTrue);
        let command = command.arg(config.help("Read settings from a TOML file"));
        let command = Setting::ALL.into_iter().fold(command, |command, setting| command.arg(flag(setting)));
        command.arg(json.help("Print where the node listens as one line of JSON"))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

fn flag(setting: Setting) -> Arg {
    let default = setting.default().map_or_else(String::new, |default| format!(" [default: {default}]"));
    let help = format!("{}{default} [env: {}]", setting.help(), setting.variable());
    let arg = Arg::new(setting.word()).long(setting.word()).value_name(setting.value_name()).help(help).hide(setting.hidden());
    if setting == Setting::Name { arg.alias("node") } else { arg }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: Setting| Some((setting, matches.get_one::<String>(setting.word())?.clone()));
        Ok(Self {
            config: matches.get_one::<PathBuf>("config").cloned(),
            flags: Setting::ALL.into_iter().filter_map(given).collect(),
            json: matches.get_flag("json"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl ServeArgs {
    /// All layers together, checked.
    fn configuration(&self, look_up: impl Fn(&str) -> Option<String>) -> Result<(ValidConfig, EnvFilter), ConfigError> {
        let file = self.config.as_deref().map(Settings::from_file).transpose()?.unwrap_or_default();
        let settings = Settings::from_flags(self.flags.clone()).over(Settings::from_environment(look_up)).over(file);
        let config = settings.validate()?;
        let filter = EnvFilter::try_new(&config.log).map_err(|error| {
            let origin = settings.value(Setting::Log).map_or(Origin::Default(Setting::Log), |given| given.origin);
            ConfigError::BadValue { origin, value: config.log.clone(), wanted: format!("a log level or filter ({error})") }
        })?;
        Ok((config, filter))
    }
}

pub(crate) fn run(args: &ServeArgs) -> Result<Exit, CliError> {
    let (config, filter) = args.configuration(|name| std::env::var(name).ok())?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("limosa").build();
    let runtime = runtime.map_err(|source| ServerError::Resources { source })?;
    let done = runtime.block_on(serve(config, args.json));
    // Nothing that still runs beside the runtime holds up the exit: everything acknowledged is flushed.
    runtime.shutdown_background();
    done
}

async fn serve(config: ValidConfig, json: bool) -> Result<Exit, CliError> {
    let stop_timeout = config.stop_timeout;
    // Before anything is served: a signal that comes early is not lost, and does not kill the process half-started.
    let mut signals = Signals::new().map_err(|source| ServerError::Resources { source })?;
    let server = tokio::select! {
        server = Server::start(config.clone()) => server?,
        () = signals.next() => return Ok(Exit::Yes),
    };
    let greeting = if json { greeting_json(server.started()) } else { greeting(server.started(), &config) };
    output::print(&greeting)?;
    signals.next().await;
    tracing::info!("stopping; a second signal stops at once");
    tokio::select! {
        stopped = server.stop() => stopped?,
        () = signals.next() => tracing::warn!("stopped at once by a second signal; everything acknowledged is in the journal"),
        () = tokio::time::sleep(stop_timeout) => tracing::warn!("no orderly stop within {stop_timeout:?}; everything acknowledged is in the journal"),
    }
    Ok(Exit::Yes)
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[derive(Serialize)]
struct Greeting<'a> {
    node: &'a str,
    cluster: &'a str,
    standby_of: Option<&'a str>,
    resp: String,
    peer: String,
    http: String,
    pid: u32,
}

/// One line, so that a script that waits for it can read a line.
fn greeting_json(started: &Started) -> String {
    let greeting = Greeting {
        node: &started.node,
        cluster: &started.cluster,
        standby_of: started.standby_of.as_deref(),
        resp: started.bound.resp.to_string(),
        peer: started.bound.peer.to_string(),
        http: started.bound.http.to_string(),
        pid: std::process::id(),
    };
    serde_json::to_string(&greeting).expect("strings become JSON") + "\n"
}

fn greeting(started: &Started, config: &ValidConfig) -> String {
    let bound = &started.bound;
    let role = started.standby_of.as_ref().map_or_else(|| "owner".to_owned(), |of| format!("standby of {of}"));
    let ask = if bound.http.port() == 7602 { String::new() } else { format!(" --node {}", bound.http) };
    let data = config.data.display();
    let mut text = format!(
        "{}  {role}, data in {data}\n\n  clients  {}  (Redis protocol)\n  peers    {}  (TLS 1.3, certificates of cluster {})\n  http     {}\n\nTry:\n",
        paint(&started.node, Paint::Strong),
        bound.resp,
        bound.peer,
        started.cluster,
        bound.http,
    );
    let client = format!("redis-cli -h {} -p {}", bound.resp.ip(), bound.resp.port());
    if started.standby_of.is_some() {
        text += &format!("  limosa status{ask}\n  limosa verify{ask}\n  limosa promote{ask}    # when the owner is gone\n");
    } else {
        let owner = &bound.advertised_peer;
        text += &format!("  {client} SET greeting hello\n  limosa status{ask}\n");
        text += &format!(
            "  limosa cert issue --for b --out b.pem --data {data}\n  limosa serve --data ./b --bundle b.pem --standby-of {owner} \\\n"
        );
        text += "    --resp 127.0.0.1:7610 --peer 127.0.0.1:7611 --http 127.0.0.1:7612\n";
    }
    text + "\nCtrl-C stops it in order.\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn parse(words: &[&str]) -> ServeArgs {
        let words = ["limosa", "serve"].iter().chain(words);
        match Cli::try_parse_from(words).expect("valid flags").command {
            Command::Serve(args) => args,
            _ => unreachable!("serve was parsed"),
        }
    }

    #[test]
    fn flags_beat_variables_which_beat_the_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("limosa.toml");
        std::fs::write(&file, "stop_timeout = '3s'\nfragments = 8\nname = 'from-file'").expect("room");
        let args = parse(&["--config", file.to_str().expect("a plain path"), "--stop-timeout", "1s"]);
        let variables = |name: &str| (name == "LIMOSA_FRAGMENTS").then(|| "16".to_owned());
        let (config, _) = args.configuration(variables).expect("valid settings");
        assert_eq!(config.stop_timeout.as_secs(), 1);
        assert_eq!(config.fragments, 16);
        assert_eq!(config.name.expect("given in the file").as_str(), "from-file");
    }

    #[test]
    fn every_setting_is_a_flag_with_its_variable_in_help() {
        for setting in Setting::ALL {
            let arg = flag(setting);
            assert_eq!(arg.get_long(), Some(setting.word()));
            assert!(arg.get_help().expect("it has help").to_string().contains(&setting.variable()));
        }
        assert_eq!(parse(&["--node", "a"]).flags, vec![(Setting::Name, "a".to_owned())], "--node names the node too");
    }

    #[test]
    fn a_log_filter_that_does_not_parse_is_a_configuration_error() {
        let error = parse(&["--log", "info,=,="]).configuration(|_| None).expect_err("not a filter");
        assert_eq!(error.code(), "config.bad_value");
        assert!(error.to_string().starts_with("--log: "), "{error}");
        assert!(parse(&["--log", "info,limosa_node=debug"]).configuration(|_| None).is_ok());
    }
}
