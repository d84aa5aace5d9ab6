//! How a client's idea of an expiry becomes a deadline: seconds or milliseconds, from now or since the Unix epoch.

use limosa_core::Expiry;

use super::super::call::is;
use super::super::error::CommandError;

/// What an expiry is counted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    Seconds,
    Millis,
}

/// How an expiry is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Deadline {
    pub(super) unit: Unit,
    pub(super) is_absolute: bool,
}

impl Deadline {
    /// What the option EX, PX, EXAT or PXAT says.
    pub(super) fn option(option: &[u8]) -> Option<Self> {
        let (unit, is_absolute) = match () {
            () if is(option, "EX") => (Unit::Seconds, false),
            () if is(option, "PX") => (Unit::Millis, false),
            () if is(option, "EXAT") => (Unit::Seconds, true),
            () if is(option, "PXAT") => (Unit::Millis, true),
            () => return None,
        };
        Some(Self { unit, is_absolute })
    }

    /// The deadline in milliseconds since the Unix epoch, which may lie in the past; `None` when 63 bits can't say it.
    pub(super) fn millis(self, value: i64, now_ms: u64) -> Option<i64> {
        let value = match self.unit {
            Unit::Seconds => value.checked_mul(1000)?,
            Unit::Millis => value,
        };
        if self.is_absolute { Some(value) } else { value.checked_add(i64::try_from(now_ms).ok()?) }
    }

    /// The deadline of an option that must be positive.
    pub(super) fn positive(self, value: i64, now_ms: u64, command: &'static str) -> Result<Expiry, CommandError> {
        let refused = CommandError::ExpireTime(command);
        if value <= 0 {
            return Err(refused);
        }
        let millis = self.millis(value, now_ms).ok_or_else(|| refused.clone())?;
        u64::try_from(millis).map(Expiry::at).map_err(|_| refused)
    }
}
