//! LIMOSA.TOKEN and LIMOSA.STALENESS: what a client has seen, and how old what this node shows may be.

use std::time::Duration;

use limosa_core::FragmentId;
use limosa_core::slot::slot_of;

use super::super::call::{Call, Done, View, is};
use super::super::cluster::{Standing, Token};
use super::super::error::CommandError;

/// LIMOSA.TOKEN: versions that cover everything this connection was told. LIMOSA.TOKEN SET token: its later reads cover those.
pub(super) fn token(call: &mut Call<'_>, view: &View<'_>) -> Done {
    match call.args[1..] {
        [] => {
            let part = &call.session.cluster;
            let token = match &part.picture {
                Some(_) => part.token.clone(),
                // Nothing is kept for each connection here: what the node shows covers it.
                None => view.keys.versions().into_iter().filter(|(_, version)| !version.is_zero()).collect(),
            };
            call.reply.bulk(token.to_string().as_bytes());
        }
        [set, text] if is(set, "SET") => {
            let token = Token::parse(text)?;
            let part = &mut call.session.cluster;
            part.token.see_all(&token);
            part.wanted.get_or_insert_default().see_all(&token);
            part.is_kept = true;
            call.reply.ok();
        }
        _ => return Err(CommandError::Syntax),
    }
    Ok(())
}

/// LIMOSA.STALENESS [key]: how far reads here may be behind the owner, milliseconds; null where this node holds no copy, or can't tell.
pub(super) fn staleness(call: &mut Call<'_>, view: &View<'_>) -> Done {
    let staleness = match call.args[1..] {
        [] => greatest(call, view),
        [key] => of_key(call, key),
        _ => return Err(CommandError::Syntax),
    };
    match staleness {
        Some(staleness) => call.reply.count(u64::try_from(staleness.as_millis()).unwrap_or(u64::MAX)),
        None => call.reply.null(),
    }
    Ok(())
}

fn of_key(call: &Call<'_>, key: &[u8]) -> Option<Duration> {
    match &call.session.cluster.picture {
        None => of_fragment(call, FragmentId(0)), // one role, and one session, for all of them
        Some(picture) => {
            let range = picture.range_of(slot_of(key)).filter(|range| range.standing != Standing::Moved)?;
            of_fragment(call, range.fragment)
        }
    }
}

/// Over everything that this node serves or follows.
fn greatest(call: &Call<'_>, view: &View<'_>) -> Option<Duration> {
    let fragments: Vec<FragmentId> = match &call.session.cluster.picture {
        None => view.keys.versions().into_iter().map(|(fragment, _)| fragment).collect(),
        Some(picture) => {
            let held =
                picture.ranges().iter().filter(|range| matches!(range.standing, Standing::Serve | Standing::Park | Standing::Replica));
            held.map(|range| range.fragment).collect()
        }
    };
    let each: Option<Vec<_>> = fragments.into_iter().map(|fragment| of_fragment(call, fragment)).collect();
    each?.into_iter().max()
}

fn of_fragment(call: &Call<'_>, fragment: FragmentId) -> Option<Duration> {
    let shared = &call.session.shared;
    if call.session.cluster.picture.is_none() && shared.node.is_owner() {
        return Some(Duration::ZERO);
    }
    shared.cluster.as_ref()?.staleness(fragment)
}
