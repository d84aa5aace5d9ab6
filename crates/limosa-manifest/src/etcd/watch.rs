//! A watch of etcd: one stream, from a revision on.

use std::collections::VecDeque;

use tonic::Streaming;

use super::client::Client;
use super::proto::{EVENT_DELETE, WatchCreateRequest, WatchRequest, WatchResponse};
use super::{behind_prefix, fault, short, to_u64};
use crate::error::ManifestError;
use crate::store::{Boxed, Event, Watch};

pub(super) struct EtcdWatch {
    prefix: String,
    answers: Streaming<WatchResponse>,
    /// Keeps the request side open: etcd ends a watch whose client has nothing more to say.
    _requests: tokio::sync::mpsc::Sender<WatchRequest>,
    waiting: VecDeque<Event>,
}

impl EtcdWatch {
    pub(super) async fn open(client: &Client, prefix: &str, key: Vec<u8>, revision: u64) -> Result<Self, ManifestError> {
        let start_revision = i64::try_from(revision + 1).unwrap_or(i64::MAX);
        let create = WatchCreateRequest { range_end: behind_prefix(&key), key, start_revision, progress_notify: true };
        let (requests, receiver) = tokio::sync::mpsc::channel(1);
        let sent = requests.send(WatchRequest { create: Some(create) }).await;
        sent.expect("the receiver is at hand");
        let stream = Receiver { receiver };
        let answers = client.stream("/etcdserverpb.Watch/Watch", stream).await?;
        Ok(Self { prefix: prefix.to_owned(), answers, _requests: requests, waiting: VecDeque::new() })
    }

    /// Waits for an answer with events in it.
    async fn fill(&mut self) -> Result<(), ManifestError> {
        while self.waiting.is_empty() {
            let answer = self.answers.message().await.map_err(|status| fault::of_read(&status))?;
            let answer = answer.ok_or_else(|| ManifestError::Unavailable { why: "etcd ended the watch".to_owned() })?;
            if answer.compact_revision > 0 {
                return Err(ManifestError::Compacted { oldest: to_u64(answer.compact_revision) });
            }
            if answer.canceled {
                return Err(canceled(answer.cancel_reason));
            }
            for event in answer.events {
                let kv = event.kv.ok_or_else(|| fault::foreign("an event without an entry"))?;
                let value = (event.kind != EVENT_DELETE).then_some(kv.value);
                self.waiting.push_back(Event { key: short(&self.prefix, &kv.key)?, value, revision: to_u64(kv.mod_revision) });
            }
        }
        Ok(())
    }
}

impl Watch for EtcdWatch {
    fn next(&mut self) -> Boxed<'_, Result<Vec<Event>, ManifestError>> {
        Box::pin(async move {
            self.fill().await?;
            Ok(std::mem::take(&mut self.waiting).into())
        })
    }
}

fn canceled(why: String) -> ManifestError {
    if why.contains("permission denied") || why.contains("auth") {
        return ManifestError::Denied { why };
    }
    ManifestError::Unavailable { why: format!("etcd cancelled the watch: {why}") }
}

/// The requests of a watch, as tonic takes them.
struct Receiver {
    receiver: tokio::sync::mpsc::Receiver<WatchRequest>,
}

impl tokio_stream::Stream for Receiver {
    type Item = WatchRequest;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<WatchRequest>> {
        self.receiver.poll_recv(cx)
    }
}
