//! Plan ids: what was asked, what it is about, and the order of magnitude of its cost, in one short word.
//!
//! A plan is not kept anywhere: the operation is planned again when it is carried out, and both ids are compared. So any node can carry out
//! what another one planned, and a restart forgets nothing.

use crate::http::api::Operation;

/// The id of a plan: `material` is whatever must not have changed meanwhile (owners, epochs, targets), `bytes` what may grow a little.
pub(crate) fn of(operation: &Operation, material: &[String], bytes: u64) -> String {
    let mut text = serde_json::to_string(operation).expect("operations become JSON");
    for one in material {
        text.push('\n');
        text.push_str(one);
    }
    format!("p{:016x}-{}", fnv(text.as_bytes()), doublings(bytes))
}

/// Whether an operation whose plan is `now` may still be carried out as `asked`: the same material, and at most about twice the bytes.
pub(crate) fn still_holds(asked: &str, now: &str) -> bool {
    let part = |id: &str| id.rsplit_once('-').and_then(|(hash, cost)| Some((hash.to_owned(), cost.parse::<u32>().ok()?)));
    let (Some((asked, asked_cost)), Some((now, now_cost))) = (part(asked), part(now)) else { return false };
    asked == now && now_cost <= asked_cost + 1
}

/// How often a mebibyte is doubled until it is at least `bytes`: below that nobody minds what it costs.
fn doublings(bytes: u64) -> u32 {
    bytes.div_ceil(1 << 20).max(1).next_power_of_two().trailing_zeros()
}

/// FNV-1a: no adversary makes plans, only chance must not make two alike.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_holds_while_nothing_material_changes_and_the_cost_does_not_double_twice() {
        let material = |epoch: u32| vec![format!("f1 a@{epoch} -> b")];
        let id = |epoch, bytes| of(&Operation::Rebalance, &material(epoch), bytes);
        let asked = id(3, 100 << 20);
        assert!(still_holds(&asked, &id(3, 100 << 20)) && still_holds(&asked, &id(3, 190 << 20)) && still_holds(&asked, &id(3, 0)));
        assert!(!still_holds(&asked, &id(3, 900 << 20)), "nine times the bytes");
        assert!(!still_holds(&asked, &id(4, 100 << 20)), "another epoch");
        assert!(!still_holds(&asked, &of(&Operation::Merge { left: 1, right: 2 }, &material(3), 100 << 20)), "another operation");
        for broken in ["", "p", "p-", "p1-x", "\u{e9}-1"] {
            assert!(!still_holds(broken, &asked) && !still_holds(&asked, broken), "{broken}");
        }
        assert_eq!([doublings(0), doublings(1 << 20), doublings((1 << 20) + 1), doublings(u64::MAX)], [0, 0, 1, 44]);
    }
}
