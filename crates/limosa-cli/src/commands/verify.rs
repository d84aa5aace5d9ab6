//! `limosa verify`: whether a node and its peers hold the same; the exit code says so.

use std::collections::BTreeSet;
use std::time::Duration;

use limosa_server::config::HostPort;
use limosa_server::http::api::{Difference, Fragment, Status, Verification};

use crate::args::{Ask, VerifyArgs};
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::format::{count, seconds, several};
use crate::output::{self, Paint, paint};

/// How often both nodes are read while commits are on their way between them.
const ATTEMPTS: u32 = 25;
/// Between two readings.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn run(args: &VerifyArgs) -> Result<Exit, CliError> {
    if let Some(other) = &args.with {
        return with(args, other).await;
    }
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

/// Reads the digests of both nodes until each fragment was seen equal at one version, or time is up.
async fn with(args: &VerifyArgs, other: &HostPort) -> Result<Exit, CliError> {
    let here = Client::new(&args.ask)?;
    let there = Client::new(&Ask { node: other.clone(), ..args.ask.clone() })?;
    let status: Status = there.get("/v1/status").await?;
    let mut open: Option<Vec<Difference>> = None;
    let mut compared = 0;
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let ours: Vec<Fragment> = here.get("/v1/fragments").await?;
        let theirs: Vec<Fragment> = there.get("/v1/fragments").await?;
        compared = ours.len() as u64;
        // A fragment that was equal once stays settled: what was written since is the stream's to bring.
        let unsettled =
            |difference: &Difference| open.as_ref().is_none_or(|open| open.iter().any(|one| one.fragment == difference.fragment));
        let differing: Vec<_> = differences_of(&ours, &theirs).into_iter().filter(unsettled).collect();
        // At equal versions with unequal digests nothing that is still on its way can help.
        let final_already = differing.iter().any(|one| one.here == one.there);
        let done = differing.is_empty() || final_already;
        open = Some(differing);
        if done {
            break;
        }
    }
    let differing = open.unwrap_or_default();
    let agree = differing.is_empty();
    let verified = Verification { peer: status.node, agree, compared, position: status.head, differing, scrub_age_s: None };
    if args.ask.json {
        output::json(&vec![verified])?
    } else {
        output::print(&one(&verified))?
    }
    Ok(if agree { Exit::Yes } else { Exit::No })
}

/// Fragments that are not equal, those that only one node has included.
fn differences_of(ours: &[Fragment], theirs: &[Fragment]) -> Vec<Difference> {
    let ids: BTreeSet<u32> = ours.iter().chain(theirs).map(|fragment| fragment.id).collect();
    let find = |fragments: &[Fragment], id| fragments.iter().find(|fragment| fragment.id == id).map(|f| (f.head, f.state_digest.clone()));
    let compare = |id| {
        let (here, there) = (find(ours, id), find(theirs, id));
        let equal = here == there;
        let (here, here_digest) = here.unwrap_or_default();
        let (there, there_digest) = there.unwrap_or_default();
        (!equal).then_some(Difference { fragment: id, here, there, here_digest, there_digest })
    };
    ids.into_iter().filter_map(compare).collect()
}

fn one(verified: &Verification) -> String {
    let (word, colour) = if verified.agree { ("agrees", Paint::Good) } else { ("DIFFERS", Paint::Bad) };
    let scrub = verified.scrub_age_s.map_or_else(|| "none since the start".to_owned(), |age| format!("{} ago", seconds(age)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_server::http::api::{Slots, Version};

    fn fragment(id: u32, seq: u64, digest: &str) -> Fragment {
        Fragment {
            id,
            slots: Slots { first: 0, last: 0 },
            head: Version { epoch: 1, seq },
            durable: Version::default(),
            acknowledged: Vec::new(),
            state_digest: digest.to_owned(),
            content_digest: String::new(),
            live: 0,
            bytes: 0,
            tombstones: 0,
            floor: Version::default(),
            epochs: Vec::new(),
        }
    }

    #[test]
    fn only_equal_digests_at_equal_versions_agree() {
        let ours = [fragment(0, 5, "aa"), fragment(1, 5, "bb"), fragment(2, 5, "cc"), fragment(3, 5, "dd")];
        let theirs = [fragment(0, 5, "aa"), fragment(1, 4, "bb"), fragment(2, 5, "ff")];
        let found: Vec<_> = differences_of(&ours, &theirs).iter().map(|one| (one.fragment, one.here.seq, one.there.seq)).collect();
        assert_eq!(found, [(1, 5, 4), (2, 5, 5), (3, 5, 0)]);
        assert!(differences_of(&ours, &ours).is_empty());
    }
}
