//! A watch over the link: a call with many answers.

use limosa_manifest::{Boxed, Event, ManifestError, Watch};

use super::client::{Made, RemoteStore, foreign, unavailable};
use super::messages::{EntryText, Said, WatchFrom, What};

/// Answers that wait for whoever watches.
const EVENTS_AHEAD: usize = 64;

pub(super) struct RemoteWatch {
    made: Made,
    /// Keeps the connection's task.
    _store: RemoteStore,
}

impl RemoteWatch {
    /// Begins to watch; returns when the store has said that it does.
    pub(super) async fn open(store: &RemoteStore, from: WatchFrom) -> Result<Self, ManifestError> {
        let mut made = store.call(What::Watch(from), EVENTS_AHEAD).await?;
        match made.heard.recv().await {
            Some(Ok(Said::Done(_))) => Ok(Self { made, _store: store.clone() }),
            Some(Ok(Said::Failed(fault))) => Err(fault.error()),
            Some(Ok(_)) => Err(foreign()),
            Some(Err(why)) => Err(unavailable(&why)),
            None => Err(unavailable("the link has ended")),
        }
    }
}

impl Watch for RemoteWatch {
    fn next(&mut self) -> Boxed<'_, Result<Vec<Event>, ManifestError>> {
        Box::pin(async move {
            match self.made.heard.recv().await {
                Some(Ok(Said::Events(page))) => Ok(page.events.into_iter().map(EntryText::event).collect()),
                Some(Ok(Said::Failed(fault))) => Err(fault.error()),
                Some(Ok(_)) => Err(foreign()),
                Some(Err(why)) => Err(unavailable(&why)),
                None => Err(unavailable("the link has ended")),
            }
        })
    }
}
