//! `limosa plan`: how each standby is brought up to date, and what was not chosen.

use std::collections::BTreeSet;

use limosa_server::http::api::{Alternative, Plan, PlanItem};

use crate::args::Ask;
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::format::{bytes, count, several};
use crate::output::{self, Paint, paint};

pub(crate) async fn run(ask: &Ask) -> Result<Exit, CliError> {
    let plans: Vec<Plan> = Client::new(ask)?.get("/v1/plan").await?;
    if ask.json {
        output::json(&plans)?;
    } else if plans.is_empty() {
        output::print("no standby is connected: nothing is planned\n")?;
    } else {
        output::print(&plans.iter().map(one).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(Exit::Yes)
}

fn one(plan: &Plan) -> String {
    let peer = paint(&plan.peer, Paint::Strong);
    if plan.items.is_empty() {
        return format!("{peer}: lacks nothing\n");
    }
    let mut table = output::table(["FRAGMENT", "METHOD", "ENTRIES", "BYTES", "WHY"]);
    for item in &plan.items {
        table.add_row([
            format!("f{}", item.fragment),
            item.method.to_string(),
            count(item.entries),
            bytes(item.bytes),
            item.reason.clone(),
        ]);
    }
    let sum = format!("{peer}: about {} in {}\n", bytes(plan.bytes()), several(plan.entries(), "entry", "entries"));
    sum + &output::text(&table) + &others(&plan.items)
}

/// What was not chosen, each combination of methods and reasons once.
fn others(items: &[PlanItem]) -> String {
    let other = |item: &PlanItem, other: &Alternative| {
        let cost = other.bytes.map_or_else(String::new, |cost| format!(" ({})", bytes(cost)));
        format!("  {} rather than {}{cost}: {}\n", item.method, other.method, other.why_not)
    };
    let lines: BTreeSet<String> = items.iter().flat_map(|item| item.alternatives.iter().map(move |one| other(item, one))).collect();
    lines.into_iter().collect()
}
