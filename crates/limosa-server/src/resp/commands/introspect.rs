//! COMMAND: the table of commands as clients ask for it.

use super::super::call::is;
use super::super::call::{Call, Done, excerpt};
use super::super::error::CommandError;
use super::super::glob;
use super::super::reply::Reply;
use super::table::{self, Command};

pub(super) fn all(call: &mut Call<'_>) -> Done {
    call.reply.array(table::COMMANDS.len());
    table::COMMANDS.iter().for_each(|command| describe(&mut call.reply, command, command.name));
    Ok(())
}

pub(super) fn count(call: &mut Call<'_>) -> Done {
    call.reply.count(table::COMMANDS.len() as u64);
    Ok(())
}

pub(super) fn info(call: &mut Call<'_>) -> Done {
    if call.args.len() == 2 {
        return all(call);
    }
    call.reply.array(call.args.len() - 2);
    for name in &call.args[2..] {
        match table::find_path(name) {
            Some((command, path)) => describe(&mut call.reply, command, &path),
            None => call.reply.null(),
        }
    }
    Ok(())
}

pub(super) fn list(call: &mut Call<'_>) -> Done {
    let names = table::COMMANDS.iter().map(|command| command.name);
    let wanted: Vec<_> = match call.args[2..] {
        [] => names.collect(),
        [by, kind, pattern] if is(by, "FILTERBY") && is(kind, "PATTERN") => {
            names.filter(|name| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes())).collect()
        }
        [by, kind, category] if is(by, "FILTERBY") && is(kind, "ACLCAT") => {
            let category = excerpt(category, 64).to_ascii_lowercase();
            table::COMMANDS
                .iter()
                .filter(|command| command.categories().any(|own| own[1..] == category))
                .map(|command| command.name)
                .collect()
        }
        [by, kind, _] if is(by, "FILTERBY") && is(kind, "MODULE") => vec![],
        _ => return Err(CommandError::Syntax),
    };
    call.reply.array(wanted.len());
    wanted.iter().for_each(|name| call.reply.bulk(name.as_bytes()));
    Ok(())
}

pub(super) fn docs(call: &mut Call<'_>) -> Done {
    if call.args.len() == 2 {
        call.reply.map(table::COMMANDS.len());
        table::COMMANDS.iter().for_each(|command| document(&mut call.reply, command, command.name));
        return Ok(());
    }
    let found: Vec<_> = call.args[2..].iter().filter_map(|name| table::find_path(name)).collect();
    call.reply.map(found.len());
    found.iter().for_each(|(command, path)| document(&mut call.reply, command, path));
    Ok(())
}

pub(super) fn getkeys(call: &mut Call<'_>) -> Done {
    let args = &call.args[2..];
    let command = table::resolve(args).map_err(|error| match error {
        CommandError::Arity(_) => CommandError::text("ERR Invalid number of arguments specified for command"),
        _ => CommandError::text("ERR Invalid command specified"),
    })?;
    let keys: Vec<_> = command.keys.of(args).collect();
    if keys.is_empty() {
        return Err(CommandError::text("ERR The command has no key arguments"));
    }
    call.reply.array(keys.len());
    keys.iter().for_each(|key| call.reply.bulk(key));
    Ok(())
}

/// Ten fields: name, arity, flags, first and last key, step, categories, hints, key specifications (none given), subcommands.
fn describe(reply: &mut Reply<'_>, command: &Command, path: &str) {
    reply.array(10);
    reply.bulk(path.as_bytes());
    reply.int(command.arity);
    let flags: Vec<_> = command.flags.split_ascii_whitespace().collect();
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.simple(flag));
    let keys = command.keys;
    [keys.first, keys.last, keys.step].into_iter().for_each(|field| reply.int(field));
    let categories: Vec<_> = command.categories().collect();
    reply.set(categories.len());
    categories.iter().for_each(|category| reply.simple(category));
    reply.array(0);
    reply.array(0);
    reply.array(command.subcommands.len());
    command.subcommands.iter().for_each(|sub| describe(reply, sub, &format!("{path}|{}", sub.name)));
}

fn document(reply: &mut Reply<'_>, command: &Command, path: &str) {
    reply.bulk(path.as_bytes());
    let has_subcommands = !command.subcommands.is_empty();
    reply.map(3 + usize::from(has_subcommands));
    for (field, value) in [("summary", command.summary), ("since", command.since), ("group", command.group)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    if has_subcommands {
        reply.bulk(b"subcommands");
        reply.map(command.subcommands.len());
        command.subcommands.iter().for_each(|sub| document(reply, sub, &format!("{path}|{}", sub.name)));
    }
}
