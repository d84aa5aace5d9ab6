//! What must hold after each step, one file for each rule; and in the end, when everything has healed.

mod acknowledged;
mod budget;
mod consistent;
mod damage;
mod deleted;
mod healed;
mod late;
mod no_copy;
mod refused;
mod sent_again;
mod versions;

pub(crate) use acknowledged::nothing_acknowledged_is_lost;
pub(crate) use budget::within_the_window;
pub(crate) use consistent::every_standby_shows_a_version_of_its_owner;
pub(crate) use damage::{all_is_sound, is_typed_damage};
pub(crate) use deleted::what_is_shown_is_what_was_written;
pub(crate) use healed::{all_are_equal, is_healed};
pub(crate) use late::a_late_frame_changes_nothing_that_is_shown;
pub(crate) use no_copy::without_a_needless_copy;
pub(crate) use refused::with_a_cause;
pub(crate) use sent_again::Sent;
pub(crate) use versions::Versions;

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
