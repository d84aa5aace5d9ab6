//! `limosa verify`: whether a node and its peers hold the same; the exit code says so.

use limosa_server::http::api::{Difference, Verification};

use crate::args::VerifyArgs;
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::format::{count, seconds, several};
use crate::output::{self, Paint, paint};

pub(crate) async fn run(args: &VerifyArgs) -> Result<Exit, CliError> {
    let query = args.peer.as_ref().map_or_else(String::new, |peer| format!("?peer={peer}"));
    let verified: Vec<Verification> = Client::new(&args.ask)?.get(&format!("/v1/verify{query}")).await?;
    // Nobody to compare with is not agreement: a script that trusts exit code 0 must not go on.
    let agree = !verified.is_empty() && verified.iter().all(|one| one.agree);
    if args.ask.json {
        output::json(&verified)?;
    } else if verified.is_empty() {
        output::print("no peer is connected: nothing was compared\n")?;
    } else {
        output::print(&verified.iter().map(one).collect::<String>())?;
    }
    Ok(if agree { Exit::Yes } else { Exit::No })
}

fn one(verified: &Verification) -> String {
    let (word, colour) = if verified.agree { ("agrees", Paint::Good) } else { ("DIFFERS", Paint::Bad) };
    let scrub = verified.scrub_age_s.map_or_else(|| "not since the start".to_owned(), |age| format!("{} ago", seconds(age)));
    let fragments = several(verified.compared, "fragment", "fragments");
    let head =
        format!("{}: {} in {fragments} at commit {}; last scrub {scrub}\n", verified.peer, paint(word, colour), count(verified.position));
    if verified.differing.is_empty() { head } else { head + &differences(&verified.differing) }
}

fn differences(differing: &[Difference]) -> String {
    let mut table = output::table(["FRAGMENT", "HERE", "THERE", "DIGEST HERE", "DIGEST THERE"]);
    for one in differing {
        let (here, there) = (one.here_digest.clone(), one.there_digest.clone());
        table.add_row([format!("f{}", one.fragment), one.here.to_string(), one.there.to_string(), here, there]);
    }
    output::text(&table)
}
