//! Prints answers: tables for people, JSON for programs; errors go to standard error.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::error::CliError;

/// Prints one JSON document.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    text.push('\n');
    print(&text)
}

/// Prints one JSON document on one line.
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(value).map_err(io::Error::from)?;
    print(&(text + "\n"))
}

/// What clears a terminal and goes to its top; nothing where standard output is none.
pub(crate) fn cleared() -> &'static str {
    if io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" }
}

/// Prints text as it is. A reader that went away (`limosa status | head -1`) is not an error.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

/// A table without lines: columns two spaces apart, so that `awk` reads it too.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table
}

/// The text of a table, its line ends trimmed, ending with a newline.
pub(crate) fn text(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// How a word is coloured.
#[derive(Clone, Copy)]
pub(crate) enum Paint {
    /// All is well.
    Good,
    /// Somebody should look.
    Bad,
    /// A heading.
    Strong,
}

/// `text` in colour, when standard output is a terminal and `NO_COLOR` is not set.
pub(crate) fn paint(text: &str, paint: Paint) -> String {
    coloured(text, paint, io::stdout().is_terminal())
}

fn coloured(text: &str, paint: Paint, terminal: bool) -> String {
    if !terminal || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return text.to_owned();
    }
    let code = match paint {
        Paint::Good => "32",
        Paint::Bad => "31",
        Paint::Strong => "1",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Prints why a command failed. Nobody is left to tell when standard error is gone.
pub(crate) fn report(error: &CliError, json: bool) {
    let body = error.body();
    let text = if json {
        serde_json::to_string_pretty(&body).expect("strings become JSON")
    } else {
        let head = coloured("error:", Paint::Bad, io::stderr().is_terminal());
        let action = if body.action.is_empty() { String::new() } else { format!("\n  do: {}", body.action) };
        format!("{head} {}{action}\n  code: {}", body.message, body.code)
    };
    let _ = writeln!(io::stderr().lock(), "{text}");
}
