//! Waits for something to be seen, bounded: the demo never sleeps for a guessed time.

use std::thread;
use std::time::{Duration, Instant};

use super::children::Children;
use super::error::DemoError;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a look saw.
pub(super) enum Seen<T> {
    /// What was waited for.
    Done(T),
    /// Something else, in words.
    NotYet(String),
}

/// Looks again and again until `look` sees what it looks for.
pub(super) fn until<T>(
    children: &Children,
    what: &str,
    longest: Duration,
    mut look: impl FnMut() -> Result<Seen<T>, DemoError>,
) -> Result<T, DemoError> {
    let started = Instant::now();
    loop {
        children.check()?;
        match look()? {
            Seen::Done(found) => return Ok(found),
            Seen::NotYet(seen) if started.elapsed() >= longest => {
                return Err(DemoError::TooLate { what: what.to_owned(), waited: longest, seen });
            }
            Seen::NotYet(_) => thread::sleep(LOOK_EVERY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_what_was_seen_last() {
        let children = Children::default();
        let mut looks = 0;
        let found = until(&children, "a third look", Duration::from_secs(5), || {
            looks += 1;
            Ok(if looks == 3 { Seen::Done(looks) } else { Seen::NotYet(looks.to_string()) })
        });
        assert_eq!(found.expect("the third look"), 3);
        let error = until::<()>(&children, "a miracle", Duration::ZERO, || Ok(Seen::NotYet("nothing".to_owned()))).expect_err("none comes");
        assert_eq!(error.to_string(), "waited 0 s for a miracle; last seen: nothing");
    }
}
