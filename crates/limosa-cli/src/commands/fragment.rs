//! `limosa fragment show`: all fragments as a table, or one with its history.

use limosa_server::http::api::{Acknowledged, Fragment};

use crate::args::FragmentShow;
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::format::{bytes, count};
use crate::output;

pub(crate) async fn show(args: &FragmentShow) -> Result<Exit, CliError> {
    let client = Client::new(&args.ask)?;
    if let Some(id) = args.id {
        let fragment: Fragment = client.get(&format!("/v1/fragments/{id}")).await?;
        if args.ask.json { output::json(&fragment)? } else { output::print(&one(&fragment))? }
    } else {
        let fragments: Vec<Fragment> = client.get("/v1/fragments").await?;
        if args.ask.json { output::json(&fragments)? } else { output::print(&table(&fragments))? }
    }
    Ok(Exit::Yes)
}

/// One row for each fragment.
pub(crate) fn table(fragments: &[Fragment]) -> String {
    let mut table = output::table(["FRAGMENT", "SLOTS", "HEAD", "DURABLE", "ACKNOWLEDGED", "ENTRIES", "BYTES", "DELETIONS"]);
    for fragment in fragments {
        table.add_row([
            format!("f{}", fragment.id),
            fragment.slots.to_string(),
            fragment.head.to_string(),
            fragment.durable.to_string(),
            acknowledged(&fragment.acknowledged),
            count(fragment.live),
            bytes(fragment.bytes),
            count(fragment.tombstones),
        ]);
    }
    output::text(&table)
}

/// `b=1.40 c=-`: what each standby has.
fn acknowledged(standbys: &[Acknowledged]) -> String {
    let one = |standby: &Acknowledged| {
        let version = standby.version.map_or_else(|| "-".to_owned(), |version| version.to_string());
        format!("{}={version}", standby.peer)
    };
    if standbys.is_empty() { "-".to_owned() } else { standbys.iter().map(one).collect::<Vec<_>>().join(" ") }
}

fn one(fragment: &Fragment) -> String {
    let mut text = table(std::slice::from_ref(fragment));
    text += &format!(
        "\nstate digest    {}\ncontent digest  {}\nfloor           {}\n\n",
        fragment.state_digest, fragment.content_digest, fragment.floor
    );
    let mut epochs = output::table(["EPOCH", "FIRST SEQ", "OPENER"]);
    for row in &fragment.epochs {
        epochs.add_row([row.epoch.to_string(), row.first_seq.to_string(), row.opener.clone()]);
    }
    text + &output::text(&epochs)
}
