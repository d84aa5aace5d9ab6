//! Every command: its name, what arguments and keys it has, what it does to them, and which function runs it.

use super::super::call::{Call, View};
use super::super::call::{Done, Run, excerpt};
use super::super::error::CommandError;
use super::super::keyspace::Keyspace;
use super::{causal, client, cluster, config, connection, counters, expiry, info, introspect, keys, ranges, scan, strings};

/// Which arguments are keys: every `step`-th from `first` to `last`; a negative `last` counts from the end. All 0: none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct KeySpec {
    /// Index of the first key, the command's name being 0.
    pub(crate) first: i64,
    /// Index of the last key.
    pub(crate) last: i64,
    /// Distance between keys.
    pub(crate) step: i64,
}

impl KeySpec {
    const NONE: Self = Self { first: 0, last: 0, step: 0 };
    const ONE: Self = Self { first: 1, last: 1, step: 1 };
    const ALL: Self = Self { first: 1, last: -1, step: 1 };
    const PAIRS: Self = Self { first: 1, last: -1, step: 2 };
    const SECOND: Self = Self { first: 2, last: 2, step: 1 };

    /// The keys among `args`.
    pub(crate) fn of<'s, 'a>(self, args: &'s [&'a [u8]]) -> impl Iterator<Item = &'a [u8]> + use<'s, 'a> {
        let first = usize::try_from(self.first).expect("not negative");
        let end = if self.last < 0 { args.len() } else { args.len().min(usize::try_from(self.last).expect("not negative") + 1) };
        let keys = if first == 0 { &[][..] } else { args.get(first..end).unwrap_or_default() };
        keys.iter().copied().step_by(usize::try_from(self.step.max(1)).expect("positive"))
    }
}

/// What a command does to data: decides who may answer it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// It touches no data: every node answers.
    None,
    /// A standby answers after READONLY.
    Read,
    /// Only the owner answers.
    Write,
}

/// One command or subcommand.
pub(crate) struct Command {
    /// Lower case.
    pub(crate) name: &'static str,
    /// Number of arguments, the name included; negative: at least so many.
    pub(crate) arity: i64,
    /// As COMMAND INFO lists them, separated by blanks.
    pub(crate) flags: &'static str,
    /// Which arguments are keys.
    pub(crate) keys: KeySpec,
    /// As COMMAND DOCS names it.
    pub(crate) group: &'static str,
    /// Version of Redis that had it first.
    pub(crate) since: &'static str,
    /// One sentence.
    pub(crate) summary: &'static str,
    /// What it does to data.
    pub(crate) access: Access,
    /// How it is run.
    pub(crate) run: Run,
    /// Empty but for [`Run::Container`] and COMMAND.
    pub(crate) subcommands: &'static [Command],
}

impl Command {
    /// Whether it may look at every key, so that others should not wait for it.
    pub(crate) fn walks_keys(&self) -> bool {
        matches!(self.name, "keys" | "scan" | "randomkey")
    }

    /// Access-control categories, as Redis derives them from flags and group.
    pub(crate) fn categories(&self) -> impl Iterator<Item = &'static str> {
        let flag = |name: &str| self.flags.split_ascii_whitespace().any(|own| own == name);
        let group = match self.group {
            "string" => "@string",
            "generic" => "@keyspace",
            "connection" | "cluster" => "@connection",
            _ => "",
        };
        let access = if flag("write") {
            "@write"
        } else if flag("readonly") {
            "@read"
        } else {
            ""
        };
        let speed = if flag("fast") { "@fast" } else { "@slow" };
        let admin = if flag("admin") { ["@admin", "@dangerous"] } else { ["", ""] };
        [group, access, speed].into_iter().chain(admin).filter(|category| !category.is_empty())
    }

    fn takes(&self, args: usize) -> bool {
        let args = i64::try_from(args).expect("arguments are bounded");
        if self.arity < 0 { args >= -self.arity } else { args == self.arity }
    }
}

type Head = fn(&mut Call<'_>, &mut dyn Keyspace) -> Done;
type Cut = fn(&mut Call<'_>, &View<'_>) -> Done;
type Alone = fn(&mut Call<'_>) -> Done;

const fn command(name: &'static str, arity: i64, flags: &'static str, group: &'static str, run: Run) -> Command {
    let (keys, access) = (KeySpec::NONE, Access::None);
    Command { name, arity, flags, keys, group, since: "1.0.0", summary: "", access, run, subcommands: &[] }
}

const fn alone(name: &'static str, arity: i64, flags: &'static str, group: &'static str, run: Alone) -> Command {
    command(name, arity, flags, group, Run::Session(run))
}

const fn read(name: &'static str, arity: i64, flags: &'static str, group: &'static str, run: Head) -> Command {
    Command { access: Access::Read, keys: KeySpec::ONE, ..command(name, arity, flags, group, Run::Keys(run)) }
}

const fn write(name: &'static str, arity: i64, flags: &'static str, group: &'static str, run: Head) -> Command {
    Command { access: Access::Write, keys: KeySpec::ONE, ..command(name, arity, flags, group, Run::Keys(run)) }
}

const fn cut(name: &'static str, arity: i64, flags: &'static str, group: &'static str, access: Access, run: Cut) -> Command {
    Command { access, ..command(name, arity, flags, group, Run::Published(run)) }
}

const fn container(name: &'static str, group: &'static str, subcommands: &'static [Command]) -> Command {
    Command { subcommands, ..command(name, -2, "", group, Run::Container) }
}

impl Command {
    const fn over(self, keys: KeySpec) -> Self {
        Self { keys, ..self }
    }

    const fn says(self, since: &'static str, summary: &'static str) -> Self {
        Self { since, summary, ..self }
    }
}

const CLIENT: &[Command] = &[
    alone("getname", 2, "noscript loading stale", "connection", client::getname).says("2.6.9", "Get the current connection name"),
    alone("id", 2, "noscript loading stale", "connection", client::id).says("5.0.0", "Returns the client ID for the current connection"),
    alone("info", 2, "noscript loading stale", "connection", client::info)
        .says("6.2.0", "Returns information about the current client connection."),
    alone("list", -2, "admin noscript loading stale", "connection", client::list).says("2.4.0", "Get the list of client connections"),
    alone("no-evict", 3, "admin noscript loading stale", "connection", client::on_off)
        .says("7.0.0", "Set client eviction mode for the current connection"),
    alone("no-touch", 3, "noscript loading stale", "connection", client::on_off)
        .says("7.2.0", "Set whether commands of the connection touch access times"),
    alone("setinfo", 4, "noscript loading stale", "connection", client::setinfo).says("7.2.0", "Set client or connection specific info"),
    alone("setname", 3, "noscript loading stale", "connection", client::setname).says("2.6.9", "Set the current connection name"),
];
/// Redis has it; the function says what does it here.
const fn elsewhere(name: &'static str) -> Command {
    alone(name, -2, "admin noscript stale", "cluster", cluster::elsewhere).says("3.0.0", "Not served: the error names what does it")
}

const CLUSTER: &[Command] = &[
    elsewhere("addslots"),
    elsewhere("addslotsrange"),
    elsewhere("bumpepoch"),
    elsewhere("count-failure-reports"),
    cut("countkeysinslot", 3, "stale", "cluster", Access::None, cluster::countkeysinslot)
        .says("3.0.0", "Return the number of keys in a hash slot"),
    elsewhere("delslots"),
    elsewhere("delslotsrange"),
    elsewhere("failover"),
    elsewhere("flushslots"),
    elsewhere("forget"),
    cut("getkeysinslot", 4, "stale", "cluster", Access::None, cluster::getkeysinslot).says("3.0.0", "Return key names in a hash slot"),
    alone("help", 2, "loading stale", "cluster", cluster::help).says("5.0.0", "Show helpful text about the subcommands"),
    alone("info", 2, "stale", "cluster", cluster::info).says("3.0.0", "Provides info about Redis Cluster node state"),
    alone("keyslot", 3, "stale", "cluster", cluster::keyslot).says("3.0.0", "Returns the hash slot of the specified key"),
    alone("links", 2, "stale", "cluster", cluster::links)
        .says("7.0.0", "Returns a list of all TCP links to and from peer nodes in cluster"),
    elsewhere("meet"),
    alone("myid", 2, "stale", "cluster", cluster::myid).says("3.0.0", "Return the node id"),
    alone("nodes", 2, "stale", "cluster", cluster::nodes).says("3.0.0", "Get Cluster config for the node"),
    elsewhere("replicas"),
    elsewhere("replicate"),
    elsewhere("reset"),
    elsewhere("saveconfig"),
    elsewhere("set-config-epoch"),
    elsewhere("setslot"),
    alone("shards", 2, "loading stale", "cluster", cluster::shards).says("7.0.0", "Get array of cluster slots to node mappings"),
    elsewhere("slaves"),
    alone("slots", 2, "loading stale", "cluster", cluster::slots).says("3.0.0", "Get array of Cluster slot to node mappings"),
];
const COMMAND: &[Command] = &[
    alone("count", 2, "loading stale", "server", introspect::count).says("2.8.13", "Get total number of commands"),
    alone("docs", -2, "loading stale", "server", introspect::docs).says("7.0.0", "Get array of specific command documentation"),
    alone("getkeys", -4, "loading stale", "server", introspect::getkeys).says("2.8.13", "Extract keys given a full command"),
    alone("info", -2, "loading stale", "server", introspect::info)
        .says("2.8.13", "Get array of specific command details, or all when no argument is given."),
    alone("list", -2, "loading stale", "server", introspect::list).says("7.0.0", "Get an array of command names"),
];
const CONFIG: &[Command] = &[
    alone("get", -3, "admin noscript loading stale", "server", config::get).says("2.0.0", "Get the values of configuration parameters"),
    alone("resetstat", 2, "admin noscript loading stale", "server", config::resetstat).says("2.0.0", "Reset the stats returned by INFO"),
    alone("set", -4, "admin noscript loading stale", "server", config::set)
        .says("2.0.0", "Set configuration parameters to the given values"),
];
const OBJECT: &[Command] = &[read("encoding", 3, "readonly", "generic", keys::object_encoding)
    .over(KeySpec::SECOND)
    .says("2.2.3", "Inspect the internal encoding of a key")];

/// Every command, by name.
pub(crate) static COMMANDS: &[Command] = &[
    write("append", 3, "write denyoom fast", "string", ranges::append).says("2.0.0", "Append a value to a key"),
    alone("asking", 1, "fast", "cluster", connection::asking)
        .says("3.0.0", "Sent by cluster clients after an -ASK redirect, which is never given here"),
    alone("auth", -2, "noscript loading stale fast no_auth", "connection", connection::auth).says("1.0.0", "Authenticate to the server"),
    container("client", "connection", CLIENT).says("2.4.0", "A container for client connection commands"),
    container("cluster", "cluster", CLUSTER).says("3.0.0", "A container for cluster commands"),
    Command { subcommands: COMMAND, ..alone("command", -1, "loading stale", "server", introspect::all) }
        .says("2.8.13", "Get array of command details"),
    container("config", "server", CONFIG).says("2.0.0", "A container for server configuration commands"),
    cut("dbsize", 1, "readonly fast", "server", Access::Read, scan::dbsize)
        .says("1.0.0", "Return the number of keys in the selected database"),
    write("decr", 2, "write denyoom fast", "string", counters::decr).says("1.0.0", "Decrement the integer value of a key by one"),
    write("decrby", 3, "write denyoom fast", "string", counters::decrby)
        .says("1.0.0", "Decrement the integer value of a key by the given number"),
    write("del", -2, "write", "generic", keys::del).over(KeySpec::ALL).says("1.0.0", "Delete a key"),
    alone("echo", 2, "loading stale fast", "connection", connection::echo).says("1.0.0", "Echo the given string"),
    read("exists", -2, "readonly fast", "generic", keys::exists).over(KeySpec::ALL).says("1.0.0", "Determine if a key exists"),
    write("expire", -3, "write fast", "generic", expiry::expire).says("1.0.0", "Set a key's time to live in seconds"),
    write("expireat", -3, "write fast", "generic", expiry::expireat).says("1.2.0", "Set the expiration for a key as a UNIX timestamp"),
    read("expiretime", 2, "readonly fast", "generic", expiry::expiretime).says("7.0.0", "Get the expiration Unix timestamp for a key"),
    write("flushall", -1, "write", "server", keys::flush).over(KeySpec::NONE).says("1.0.0", "Remove all keys from all databases"),
    write("flushdb", -1, "write", "server", keys::flush).over(KeySpec::NONE).says("1.0.0", "Remove all keys from the current database"),
    read("get", 2, "readonly fast", "string", strings::get).says("1.0.0", "Get the value of a key"),
    write("getdel", 2, "write fast", "string", strings::getdel).says("6.2.0", "Get the value of a key and delete the key"),
    write("getex", -2, "write fast", "string", strings::getex).says("6.2.0", "Get the value of a key and optionally set its expiration"),
    read("getrange", 4, "readonly", "string", ranges::getrange).says("2.4.0", "Get a substring of the string stored at a key"),
    write("getset", 3, "write denyoom fast", "string", strings::getset)
        .says("1.0.0", "Set the string value of a key and return its old value"),
    alone("hello", -1, "noscript loading stale fast no_auth", "connection", connection::hello).says("6.0.0", "Handshake with Redis"),
    write("incr", 2, "write denyoom fast", "string", counters::incr).says("1.0.0", "Increment the integer value of a key by one"),
    write("incrby", 3, "write denyoom fast", "string", counters::incrby)
        .says("1.0.0", "Increment the integer value of a key by the given amount"),
    write("incrbyfloat", 3, "write denyoom fast", "string", counters::incrbyfloat)
        .says("2.6.0", "Increment the float value of a key by the given amount"),
    cut("info", -1, "loading stale", "server", Access::None, info::info).says("1.0.0", "Get information and statistics about the server"),
    cut("keys", 2, "readonly", "generic", Access::Read, scan::keys).says("1.0.0", "Find all keys matching the given pattern"),
    cut("limosa.staleness", -1, "readonly fast", "cluster", Access::None, causal::staleness)
        .over(KeySpec::ONE)
        .says("7.0.0", "How far reads at this node may be behind the owner, milliseconds"),
    cut("limosa.token", -1, "loading stale fast", "connection", Access::None, causal::token)
        .says("7.0.0", "The versions that this connection has seen, or that its reads must cover"),
    read("mget", -2, "readonly fast", "string", strings::mget).over(KeySpec::ALL).says("1.0.0", "Get the values of all the given keys"),
    write("mset", -3, "write denyoom", "string", strings::mset).over(KeySpec::PAIRS).says("1.0.1", "Set multiple keys to multiple values"),
    write("msetnx", -3, "write denyoom", "string", strings::msetnx)
        .over(KeySpec::PAIRS)
        .says("1.0.1", "Set multiple keys to multiple values, only if none of the keys exist"),
    container("object", "generic", OBJECT).says("2.2.3", "A container for object introspection commands"),
    write("persist", 2, "write fast", "generic", expiry::persist).says("2.2.0", "Remove the expiration from a key"),
    write("pexpire", -3, "write fast", "generic", expiry::pexpire).says("2.6.0", "Set a key's time to live in milliseconds"),
    write("pexpireat", -3, "write fast", "generic", expiry::pexpireat)
        .says("2.6.0", "Set the expiration for a key as a UNIX timestamp specified in milliseconds"),
    read("pexpiretime", 2, "readonly fast", "generic", expiry::pexpiretime)
        .says("7.0.0", "Get the expiration Unix timestamp for a key in milliseconds"),
    alone("ping", -1, "fast", "connection", connection::ping).says("1.0.0", "Ping the server"),
    write("psetex", 4, "write denyoom", "string", strings::psetex).says("2.6.0", "Set the value and expiration in milliseconds of a key"),
    read("pttl", 2, "readonly fast", "generic", expiry::pttl).says("2.6.0", "Get the time to live for a key in milliseconds"),
    alone("quit", -1, "noscript loading stale fast no_auth", "connection", connection::quit).says("1.0.0", "Close the connection"),
    cut("randomkey", 1, "readonly", "generic", Access::Read, scan::randomkey).says("1.0.0", "Return a random key from the keyspace"),
    alone("readonly", 1, "loading stale fast", "cluster", connection::readonly)
        .says("3.0.0", "Enables read queries for a connection to a standby"),
    alone("readwrite", 1, "loading stale fast", "cluster", connection::readwrite)
        .says("3.0.0", "Disables read queries for a connection to a standby"),
    alone("reset", 1, "noscript loading stale fast no_auth", "connection", connection::reset).says("6.2.0", "Reset the connection"),
    cut("scan", -2, "readonly", "generic", Access::Read, scan::scan).says("2.8.0", "Incrementally iterate the keys space"),
    alone("select", 2, "loading stale fast", "connection", connection::select)
        .says("1.0.0", "Change the selected database for the current connection"),
    write("set", -3, "write denyoom", "string", strings::set).says("1.0.0", "Set the string value of a key"),
    write("setex", 4, "write denyoom", "string", strings::setex).says("2.0.0", "Set the value and expiration of a key"),
    write("setnx", 3, "write denyoom fast", "string", strings::setnx)
        .says("1.0.0", "Set the value of a key, only if the key does not exist"),
    write("setrange", 4, "write denyoom", "string", ranges::setrange)
        .says("2.2.0", "Overwrite part of a string at key starting at the specified offset"),
    read("strlen", 2, "readonly fast", "string", ranges::strlen).says("2.2.0", "Get the length of the value stored in a key"),
    read("substr", 4, "readonly", "string", ranges::getrange).says("1.0.0", "Get a substring of the string stored at a key"),
    alone("time", 1, "loading stale fast", "server", connection::time).says("2.6.0", "Return the current server time"),
    read("touch", -2, "readonly fast", "generic", keys::exists).over(KeySpec::ALL).says("3.2.1", "Alters the last access time of a key(s)"),
    read("ttl", 2, "readonly fast", "generic", expiry::ttl).says("1.0.0", "Get the time to live for a key in seconds"),
    read("type", 2, "readonly fast", "generic", keys::type_of).says("1.0.0", "Determine the type stored at key"),
    write("unlink", -2, "write fast", "generic", keys::del).over(KeySpec::ALL).says("4.0.0", "Delete a key without blocking"),
    command("wait", 3, "noscript", "generic", Run::Replicas)
        .says("3.0.0", "Wait until the writes of this connection are durable on standbys"),
];

/// What most requests call: looked at before the whole table is searched.
static FREQUENT: std::sync::LazyLock<[&'static Command; 2]> =
    std::sync::LazyLock::new(|| [b"get", b"set"].map(|name| find(COMMANDS, name).expect("it is in the table")));

const NAME_BYTES_MAX: usize = 24;

/// The command or subcommand with this name, in any case.
fn find(commands: &'static [Command], name: &[u8]) -> Option<&'static Command> {
    let mut lower = [0u8; NAME_BYTES_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let index = commands.binary_search_by(|command| command.name.as_bytes().cmp(lower)).ok()?;
    Some(&commands[index])
}

/// The command that `command` or `command|subcommand` names, and its full name.
pub(crate) fn find_path(path: &[u8]) -> Option<(&'static Command, String)> {
    match path.iter().position(|byte| *byte == b'|') {
        None => find(COMMANDS, path).map(|command| (command, command.name.to_owned())),
        Some(at) => {
            let parent = find(COMMANDS, &path[..at])?;
            let sub = find(parent.subcommands, &path[at + 1..])?;
            Some((sub, format!("{}|{}", parent.name, sub.name)))
        }
    }
}

/// The full name of a command: `client|list` for a subcommand.
pub(crate) fn path_of(command: &'static Command) -> String {
    let is_sub = |parent: &&Command| parent.subcommands.iter().any(|sub| std::ptr::eq(sub, command));
    COMMANDS.iter().find(is_sub).map_or_else(|| command.name.to_owned(), |parent| format!("{}|{}", parent.name, command.name))
}

/// The command that `args` call, if they are as many as it takes.
pub(crate) fn resolve(args: &[&[u8]]) -> Result<&'static Command, CommandError> {
    let frequent = FREQUENT.iter().find(|command| args[0].eq_ignore_ascii_case(command.name.as_bytes()));
    let command = frequent.copied().or_else(|| find(COMMANDS, args[0])).ok_or_else(|| unknown(args))?;
    if args.len() > 1 && !command.subcommands.is_empty() {
        return resolve_subcommand(command, args);
    }
    if command.takes(args.len()) { Ok(command) } else { Err(CommandError::Arity(command.name.to_owned())) }
}

fn resolve_subcommand(parent: &'static Command, args: &[&[u8]]) -> Result<&'static Command, CommandError> {
    let sub = find(parent.subcommands, args[1])
        .ok_or_else(|| CommandError::UnknownSubcommand { command: parent.name.to_ascii_uppercase(), sub: excerpt(args[1], 128) })?;
    if sub.takes(args.len()) { Ok(sub) } else { Err(CommandError::Arity(format!("{}|{}", parent.name, sub.name))) }
}

fn unknown(args: &[&[u8]]) -> CommandError {
    const QUOTED_BYTES_MAX: usize = 128;
    let mut quoted = String::new();
    for arg in &args[1..] {
        if quoted.len() >= QUOTED_BYTES_MAX {
            break;
        }
        quoted.push('\'');
        quoted.push_str(&excerpt(arg, QUOTED_BYTES_MAX - (quoted.len() - 1)));
        quoted.push_str("' ");
    }
    CommandError::UnknownCommand { name: excerpt(args[0], 128), args: quoted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_and_their_names_fit() {
        let tables = COMMANDS.iter().map(|command| command.subcommands).chain([COMMANDS]);
        for table in tables {
            assert!(table.windows(2).all(|pair| pair[0].name < pair[1].name));
            assert!(table.iter().all(|command| command.name.len() <= NAME_BYTES_MAX && !command.summary.is_empty()));
        }
    }

    #[test]
    fn keys_are_found_where_the_table_says() {
        let args: Vec<&[u8]> = vec![b"mset", b"a", b"1", b"b", b"2"];
        let keys = |spec: KeySpec| spec.of(&args).collect::<Vec<_>>();
        assert_eq!(keys(KeySpec::PAIRS), [b"a", b"b"]);
        assert_eq!(keys(KeySpec::ONE), [b"a"]);
        assert_eq!(keys(KeySpec::SECOND), [b"1"]);
        assert_eq!(keys(KeySpec::ALL), [b"a", b"1", b"b", b"2"]);
        assert!(keys(KeySpec::NONE).is_empty());
    }

    #[test]
    fn refusals_are_worded_as_in_redis() {
        let text = |args: &[&[u8]]| resolve(args).err().map(|error| error.to_string());
        let cases: [(&[&[u8]], &str); 5] = [
            (&[b"foo"], "ERR unknown command 'foo', with args beginning with: "),
            (&[b"foo", b"a", b"b"], "ERR unknown command 'foo', with args beginning with: 'a' 'b' "),
            (&[b"GET"], "ERR wrong number of arguments for 'get' command"),
            (&[b"client", b"nope"], "ERR unknown subcommand 'nope'. Try CLIENT HELP."),
            (&[b"client", b"setname"], "ERR wrong number of arguments for 'client|setname' command"),
        ];
        for (args, expected) in cases {
            assert_eq!(text(args).as_deref(), Some(expected));
        }
    }
}
