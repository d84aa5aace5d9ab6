//! What people see while the demo runs: one bar for what is being done, one line for each scene that is over. On standard error.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// In what a step is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    Entries,
    Bytes,
}

/// Standard error, as a terminal or as a file.
pub(super) struct Screen {
    bar: ProgressBar,
    is_terminal: bool,
}

const NAMED: &str = "{spinner} {msg}";
const COUNTED: &str = "{spinner} {msg:44!} [{bar:30}] {human_pos} of {human_len} {percent:>3} %";
const WEIGHED: &str = "{spinner} {msg:44!} [{bar:30}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}";

impl Screen {
    pub(super) fn new() -> Self {
        // indicatif itself shows nothing where standard error is no terminal.
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, is_terminal: io::stderr().is_terminal() }
    }

    /// Begins a step without an end in sight.
    pub(super) fn step(&self, text: &str) {
        self.begin(text, NAMED, None);
    }

    /// Begins a step of a known size.
    pub(super) fn count(&self, text: &str, total: u64, unit: Unit) {
        let template = if unit == Unit::Bytes { WEIGHED } else { COUNTED };
        self.begin(text, template, Some(total));
    }

    /// How far the step is.
    pub(super) fn at(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// How far the step is, and how much it is after all.
    pub(super) fn at_of(&self, done: u64, total: u64) {
        if total > 0 {
            self.bar.set_length(total);
            self.bar.set_position(done);
        }
    }

    /// A line that stays.
    pub(super) fn line(&self, text: &str) {
        if self.is_terminal {
            self.bar.println(text);
        } else {
            note(&format!("{text}\n"));
        }
    }

    fn begin(&self, text: &str, template: &str, total: Option<u64>) {
        let style = ProgressStyle::with_template(template).expect("the templates are right");
        self.bar.set_style(style.progress_chars("=> "));
        self.bar.reset();
        match total {
            Some(total) => self.bar.set_length(total),
            None => self.bar.unset_length(),
        }
        self.bar.set_message(text.to_owned());
    }
}

/// Text that stays, when nothing moves any more.
pub(super) fn note(text: &str) {
    let _ = write!(io::stderr().lock(), "{text}"); // nobody reads it: nobody is to be told
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
