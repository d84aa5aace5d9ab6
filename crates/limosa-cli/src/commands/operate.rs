//! The commands that change the cluster: each is planned or carried out, and perhaps waited for.

use std::time::Duration;

use clap::Args;
use limosa_server::http::api::{Begun, Cell, Move, MoveState, MoveTo, Operated, Operation, OperationPlan, OrderWord};

use crate::args::Ask;
use crate::args::cluster::{Asks, Do};
use crate::client::Client;
use crate::commands::moves;
use crate::error::{CliError, Exit};
use crate::format::{bytes, seconds, several};
use crate::output::{self, Paint, paint};

/// How long a move that was taken up may stay unseen.
const SETTLE: Duration = Duration::from_secs(3);
/// How often the moves are looked at while one waits for them.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) async fn plan(operation: &Operation, ask: &Ask) -> Result<Exit, CliError> {
    let plan: OperationPlan = Client::new(ask)?.post_json("/v1/plans", operation).await?;
    if ask.json {
        output::json(&plan)?;
    } else {
        output::print(&planned(&plan))?;
    }
    Ok(if plan.blocked_because.is_empty() { Exit::Yes } else { Exit::No })
}

pub(crate) async fn run<T: Asks + Args>(todo: &Do<T>) -> Result<Exit, CliError> {
    let client = Client::new(&todo.ask)?;
    let operation = todo.what.operation();
    let query = todo.plan.as_ref().map_or_else(String::new, |plan| format!("?plan={plan}"));
    let (path, body) = call(&operation);
    let done: Operated = client.post_json(&format!("{path}{query}"), &body).await?;
    let ended = if todo.wait { wait(&client, &done.begun).await? } else { Vec::new() };
    let aborted = !done.refused.is_empty() || ended.iter().any(|one| matches!(one.state, MoveState::Aborted { .. }));
    if todo.ask.json {
        output::json(&done)?;
    } else {
        output::print(&said(&done, &ended, todo.wait))?;
    }
    Ok(if aborted { Exit::No } else { Exit::Yes })
}

/// Path and body of the call that carries an operation out.
fn call(operation: &Operation) -> (String, serde_json::Value) {
    let json = |body: serde_json::Result<serde_json::Value>| body.expect("bodies become JSON");
    match operation {
        Operation::Move(to) => ("/v1/moves".to_owned(), json(serde_json::to_value(to))),
        Operation::Stage(to) => ("/v1/stages".to_owned(), json(serde_json::to_value(to))),
        Operation::Rebalance => ("/v1/rebalance".to_owned(), serde_json::json!({})),
        Operation::Handover(of) => ("/v1/handover".to_owned(), json(serde_json::to_value(of))),
        Operation::Decommission(of) => ("/v1/decommission".to_owned(), json(serde_json::to_value(of))),
        Operation::Failover(lost) => ("/v1/failover".to_owned(), json(serde_json::to_value(lost))),
        Operation::Split { fragment, at_key, at_slot } => {
            (format!("/v1/fragments/{fragment}/split"), serde_json::json!({ "at_key": at_key, "at_slot": at_slot }))
        }
        Operation::Merge { left, right } => (format!("/v1/fragments/{left}/merge"), serde_json::json!({ "right": right })),
    }
}

/// Until everything that was begun has ended; answers the moves among it.
async fn wait(client: &Client, begun: &[Begun]) -> Result<Vec<Move>, CliError> {
    let mut waited = Duration::ZERO;
    loop {
        let moves: Vec<Move> = client.get("/v1/moves").await?;
        let cells: Vec<Cell> = client.get("/v1/cells").await?;
        // The newest word on each: running ones come first, then the others from the newest on.
        let word = |one: &Begun| moves.iter().find(|known| known.fragment == one.fragment && known.to == one.to);
        let is_over = |one: &Begun| {
            let cell = cells.iter().find(|cell| cell.fragment == one.fragment);
            let reached = cell.is_some_and(|cell| match one.order {
                OrderWord::Move | OrderWord::Promote => cell.owner.as_ref() == Some(&one.to),
                OrderWord::Stage => cell.sync_set.contains(&one.to),
                OrderWord::Leave => {
                    cell.owner.as_ref() != Some(&one.to) && !cell.sync_set.contains(&one.to) && !cell.replicas.contains(&one.to)
                }
                OrderWord::Cancel => cell.moving_to.is_none(),
            });
            // What has just been taken up may not be seen yet; an end that is seen at once may be that of an earlier move.
            reached || one.order == OrderWord::Move && waited > SETTLE && word(one).is_none_or(|known| known.state != MoveState::Running)
        };
        if begun.iter().all(is_over) {
            return Ok(begun.iter().filter_map(word).cloned().collect());
        }
        tokio::time::sleep(LOOK).await;
        waited += LOOK;
    }
}

fn said(done: &Operated, ended: &[Move], waited: bool) -> String {
    let mut text = format!("{}\n", done.message);
    for refused in &done.refused {
        text += &paint(&format!("f{}: refused: {}\n", refused.fragment, refused.why), Paint::Bad);
    }
    if !ended.is_empty() {
        text += &moves::table(ended);
    } else if !done.begun.is_empty() && !waited {
        text += "next: watch with `limosa status --watch`, list with `limosa moves`, give up with `limosa cancel`\n";
    }
    text
}

/// An operation as it is typed.
fn words(operation: &Operation) -> String {
    let place = |to: &MoveTo| {
        let slots = to.slots.iter().map(|slots| format!("--slots {slots}"));
        let all: Vec<String> = to.fragments.iter().map(ToString::to_string).chain(slots).collect();
        format!("{} --to {}", all.join(" "), to.to)
    };
    let rest = match operation {
        Operation::Move(to) | Operation::Stage(to) => place(to),
        Operation::Rebalance => return operation.word().to_owned(),
        Operation::Handover(of) | Operation::Decommission(of) => of.node.clone(),
        Operation::Failover(lost) => {
            let mut all: Vec<String> = lost.node.iter().cloned().chain(lost.fragments.iter().map(ToString::to_string)).collect();
            all.extend(lost.accept_loss.then(|| "--accept-loss".to_owned()));
            all.join(" ")
        }
        Operation::Split { fragment, at_key, at_slot } => {
            let key = at_key.as_ref().map(|key| format!(" --at {}", quoted(key)));
            let slot = at_slot.map(|slot| format!(" --at-slot {slot}"));
            format!("{fragment}{}", key.or(slot).unwrap_or_default())
        }
        Operation::Merge { left, right } => format!("{left} {right}"),
    };
    format!("{} {rest}", operation.word())
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/@".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn planned(plan: &OperationPlan) -> String {
    let mut text = format!("plan {}  {}\n", paint(&plan.id, Paint::Strong), plan.operation.word());
    if plan.steps.is_empty() {
        text += "nothing is to be done\n";
    } else {
        let mut table = output::table(["FRAGMENT", "SLOTS", "DO", "FROM", "TO", "BY", "BYTES", "WHY"]);
        for step in &plan.steps {
            table.add_row([
                format!("f{}", step.fragment),
                step.slots.to_string(),
                step.action.clone(),
                step.from.clone().unwrap_or_else(|| "-".to_owned()),
                step.to.clone().unwrap_or_else(|| "-".to_owned()),
                step.method.to_string(),
                bytes(step.bytes),
                step.why.clone(),
            ]);
        }
        text += &output::text(&table);
    }
    let time =
        plan.seconds.map_or_else(|| "an unknown time (nothing was measured yet)".to_owned(), |time| format!("about {}", seconds(time)));
    text += &format!(
        "moves    {} in {time}, {}\nwaits    a request on one fragment up to {:.0} ms; writers slowed by at most {} %\nrisk     {}\n",
        bytes(plan.bytes),
        several(plan.steps.len() as u64, "step", "steps"),
        plan.pause_ms,
        plan.slowing_percent,
        plan.risk,
    );
    for why in &plan.blocked_because {
        text += &paint(&format!("BLOCKED  {why}\n"), Paint::Bad);
    }
    if plan.blocked_because.is_empty() && !plan.steps.is_empty() {
        text += &format!("next: limosa {} --plan {}\n", words(&plan.operation), plan.id);
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use limosa_server::http::api::{Failover, OfNode, Slots};

    use super::*;
    use crate::args::Cli;

    #[test]
    fn a_plan_ends_with_the_command_that_carries_it_out() {
        let to = |fragments: &[u32], slots: Vec<Slots>| MoveTo { fragments: fragments.to_vec(), slots, to: "c".to_owned() };
        let split = |at_key: Option<&str>, at_slot| Operation::Split { fragment: 3, at_key: at_key.map(str::to_owned), at_slot };
        let lost = Failover { fragments: vec![3], node: None, accept_loss: true };
        let cases = [
            (Operation::Move(to(&[3, 4], Vec::new())), "move 3 4 --to c"),
            (Operation::Stage(to(&[], vec![Slots { first: 0, last: 9 }])), "stage --slots 0-9 --to c"),
            (Operation::Rebalance, "rebalance"),
            (Operation::Decommission(OfNode { node: "a".to_owned() }), "decommission a"),
            (Operation::Failover(lost), "failover 3 --accept-loss"),
            (split(None, None), "split 3"),
            (split(Some("user:1000"), None), "split 3 --at user:1000"),
            (split(Some("it's"), None), r"split 3 --at 'it'\''s'"),
            (split(None, Some(7)), "split 3 --at-slot 7"),
            (Operation::Merge { left: 3, right: 4 }, "merge 3 4"),
        ];
        for (operation, expected) in cases {
            assert_eq!(words(&operation), expected);
            let typed = ["limosa"].into_iter().chain(expected.split(' ')).chain(["--plan", "0123456789abcdef"]);
            assert!(Cli::try_parse_from(typed).is_ok(), "{expected}");
        }
    }
}
