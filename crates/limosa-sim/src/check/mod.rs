//! What must hold after each step, one file for each rule; and in the end, when everything has healed.

mod acknowledged;
mod consistent;
mod healed;

pub(crate) use acknowledged::{nothing_acknowledged_is_lost, what_is_shown_is_what_was_written};
pub(crate) use consistent::every_standby_shows_a_version_of_its_owner;
pub(crate) use healed::{all_are_equal, is_healed};

/// A rule that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Which one.
    pub rule: &'static str,
    /// What was seen.
    pub what: String,
}

impl Broken {
    pub(crate) fn of(rule: &'static str) -> impl FnOnce(String) -> Self {
        move |what| Self { rule, what }
    }
}
