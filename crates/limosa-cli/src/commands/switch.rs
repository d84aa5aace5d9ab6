//! `limosa promote` and `limosa follow`: what a node is to its state.

use limosa_server::http::api::{Follow, Followed, Promoted};

use crate::args::{Ask, FollowArgs};
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::output;

pub(crate) async fn promote(ask: &Ask) -> Result<Exit, CliError> {
    let promoted: Promoted = Client::new(ask)?.post("/v1/promote").await?;
    if ask.json {
        output::json(&promoted)?;
    } else {
        let text =
            format!("{} takes writes now, in epoch {}\nnext: let the old owner follow it with `limosa follow`\n", ask.node, promoted.epoch);
        output::print(&text)?;
    }
    Ok(Exit::Yes)
}

pub(crate) async fn follow(args: &FollowArgs) -> Result<Exit, CliError> {
    let body = Follow { owner: args.owner.to_string() };
    let followed: Followed = Client::new(&args.ask)?.post_json("/v1/follow", &body).await?;
    if args.ask.json {
        output::json(&followed)?;
    } else {
        output::print(&format!(
            "{} is a standby of {} now\nnext: watch it with `limosa status --node {}`\n",
            args.ask.node, followed.owner, args.ask.node
        ))?;
    }
    Ok(Exit::Yes)
}
