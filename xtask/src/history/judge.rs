//! Both checkers over what was recorded, and what they found as text for people.

use std::fmt::Write as _;

use super::linear::{self, Unlinear};
use super::operation::{Operation, What};
use super::register;

/// What was judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    pub(crate) operations: usize,
    /// Writes that were acknowledged.
    pub(crate) acknowledged: usize,
    /// Writes whose outcome is unknown.
    pub(crate) unknown: usize,
    /// Reads that a copy may have answered.
    pub(crate) old_reads: usize,
}

/// Violations told of.
const TOLD_MAX: usize = 5;

/// Counts, or what is wrong.
pub(crate) fn judge(history: &[Operation]) -> Result<Judged, String> {
    let mut text = String::new();
    let violations = register::check(history);
    for violation in violations.iter().take(TOLD_MAX) {
        let _ = writeln!(text, "{:?}", violation.fault); // a string takes everything
        violation.shown_by.iter().for_each(|operation| text += &format!("  {}\n", operation.line()));
    }
    let unlinear = linear::check(history);
    for found in unlinear.iter().take(TOLD_MAX) {
        match found {
            Unlinear::Impossible { operation, around } => {
                let _ = writeln!(text, "no order explains\n  {}\nbeside", operation.line());
                around.iter().for_each(|operation| text += &format!("  {}\n", operation.line()));
            }
            Unlinear::TooMuch { key } => {
                let _ = writeln!(text, "key {key}: too much at once for the checker without versions");
            }
        }
    }
    if !text.is_empty() {
        return Err(format!("{} violations by version, {} keys without an order:\n{text}", violations.len(), unlinear.len()));
    }
    let count = |is_so: &dyn Fn(&Operation) -> bool| history.iter().filter(|operation| is_so(operation)).count();
    let is_write = |operation: &Operation| matches!(operation.what, What::Write(_));
    Ok(Judged {
        operations: history.len(),
        acknowledged: count(&|operation| is_write(operation) && operation.returned.is_some()),
        unknown: count(&|operation| is_write(operation) && operation.returned.is_none()),
        old_reads: count(&|operation| operation.may_be_old),
    })
}
