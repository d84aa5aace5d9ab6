//! Golden conversations: sessions of two ends as text, for people to read and for programs to play.
//!
//! ```text
//! about WHAT IT SHOWS
//! fragments 1                      how many fragments of equal slots both ends have
//! scope 0 1                        what the session is about; left out: everything
//! verbatim                         the target's part is sent as it stands; without this a whole target speaks
//! both set KEY VALUE               what the source was written, in order, each a commit, before the target followed once; or `both del KEY`
//! source set KEY 3000*a            what the source was written then; a value may be told as a letter and how often it comes
//! target set KEY VALUE             what the target was written, in an epoch that it opened
//!
//! > hello 0000006b…                target to source: the kind of the message, its bytes in hexadecimal
//!     epoch_max = 1                its fields, for people
//!     incarnation * 1              a free field: another end may say something else here
//! < offer …                        source to target
//! > !raw 0000…                     bytes that are no message
//! < !end                           the source closes the connection
//! * source set KEY VALUE           nothing is said: here the source is written something
//! * target leaves 0 1              here the target is told to leave these fragments
//! ```
//! A free field of a message that is *sent* is one that whoever plays that end fills in; the values are those of the recording.

mod fields;
mod text;

pub use fields::fields;
pub use text::{Conversation, Line, Said, Side, TextFault, Whose, Written, word};

/// Fields of `found` that are not as in `expected`, the free ones aside: what, as expected, as found.
pub fn differences(expected: &crate::Message, found: &crate::Message, is_free: impl Fn(&str) -> bool) -> Vec<String> {
    let (wanted, got) = (fields(expected), fields(found));
    let of = |all: &[(String, String)], name: &str| all.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let mut wrong = Vec::new();
    for (name, value) in wanted.iter().filter(|(name, _)| !is_free(name)) {
        match of(&got, name) {
            Some(found) if found == *value => {}
            Some(found) => wrong.push(format!("{name} is {found}, not {value}")),
            None => wrong.push(format!("{name} is missing, not {value}")),
        }
    }
    let more = got.iter().filter(|(name, _)| !is_free(name) && of(&wanted, name).is_none());
    wrong.extend(more.map(|(name, value)| format!("{name} is {value}, and should not be there")));
    wrong
}
