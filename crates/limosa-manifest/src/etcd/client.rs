//! Calls to etcd: one channel, deadlines, and a token where etcd asks for users.

use std::sync::{Arc, Mutex};

use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::config::EtcdConfig;
use super::fault;
use super::proto::{
    AuthenticateRequest, AuthenticateResponse, LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseRevokeRequest, LeaseRevokeResponse,
};
use crate::error::ManifestError;
use crate::store::LeaseId;

/// A channel to etcd. Clones share it.
#[derive(Clone)]
pub(super) struct Client {
    channel: Channel,
    config: Arc<EtcdConfig>,
    token: Arc<Mutex<Option<String>>>,
}

impl Client {
    pub(super) fn new(config: EtcdConfig) -> Result<Self, ManifestError> {
        Ok(Self { channel: config.channel()?, config: Arc::new(config), token: Arc::default() })
    }

    /// A call that changes nothing.
    pub(super) async fn read<Q: Message + Clone + 'static, A: Message + Default + 'static>(
        &self,
        path: &'static str,
        request: Q,
    ) -> Result<A, ManifestError> {
        self.call(path, request).await.map_err(|status| fault::of_read(&status))
    }

    /// A call that changes `key` and maybe others.
    pub(super) async fn change<Q: Message + Clone + 'static, A: Message + Default + 'static>(
        &self,
        path: &'static str,
        request: Q,
        key: &str,
    ) -> Result<A, ManifestError> {
        self.call(path, request).await.map_err(|status| fault::of_change(&status, key))
    }

    pub(super) async fn grant(&self, ttl_s: i64) -> Result<LeaseId, ManifestError> {
        let answer: LeaseGrantResponse = self.read("/etcdserverpb.Lease/LeaseGrant", LeaseGrantRequest { ttl: ttl_s }).await?;
        if answer.error.is_empty() { Ok(LeaseId(answer.id)) } else { Err(ManifestError::Unavailable { why: answer.error }) }
    }

    pub(super) async fn revoke(&self, lease: LeaseId) -> Result<(), ManifestError> {
        let request = LeaseRevokeRequest { id: lease.0 };
        let answer = self.call::<_, LeaseRevokeResponse>("/etcdserverpb.Lease/LeaseRevoke", request).await;
        match answer {
            Ok(LeaseRevokeResponse {}) => Ok(()),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(()), // it has gone by itself
            Err(status) => Err(fault::of_read(&status)),
        }
    }

    /// One sign of life on a stream of its own: rare enough, and nothing is left over when it fails.
    pub(super) async fn keep_alive(&self, lease: LeaseId) -> Result<bool, ManifestError> {
        let request = tokio_stream::once(LeaseKeepAliveRequest { id: lease.0 });
        let mut answers: Streaming<LeaseKeepAliveResponse> = self.stream("/etcdserverpb.Lease/LeaseKeepAlive", request).await?;
        let answer = tokio::time::timeout(self.config.request_timeout, answers.message()).await;
        let silent = || ManifestError::Unavailable { why: "no answer to a sign of life".to_owned() };
        let answer = answer.map_err(|_| silent())?.map_err(|status| fault::of_read(&status))?;
        Ok(answer.ok_or_else(silent)?.ttl > 0)
    }

    /// A call with a stream of answers.
    pub(super) async fn stream<Q: Message + 'static, A: Message + Default + 'static>(
        &self,
        path: &'static str,
        requests: impl tokio_stream::Stream<Item = Q> + Send + 'static,
    ) -> Result<Streaming<A>, ManifestError> {
        let mut request = Request::new(requests);
        self.sign(&mut request).await.map_err(|status| fault::of_read(&status))?;
        let open = async {
            let mut grpc = self.grpc().await?;
            grpc.streaming(request, PathAndQuery::from_static(path), ProstCodec::<Q, A>::default()).await
        };
        let answer = tokio::time::timeout(self.config.request_timeout, open).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        answer.map(tonic::Response::into_inner).map_err(|status| {
            self.forget_stale(&status);
            fault::of_read(&status)
        })
    }

    /// One request, one answer; once again with a new token where the old one had run out. Etcd refuses a stale token before it looks at
    /// the request, so nothing is done twice.
    async fn call<Q: Message + Clone + 'static, A: Message + Default + 'static>(
        &self,
        path: &'static str,
        message: Q,
    ) -> Result<A, Status> {
        match self.call_once(path, message.clone()).await {
            Err(status) if self.forget_stale(&status) => self.call_once(path, message).await,
            outcome => outcome,
        }
    }

    async fn call_once<Q: Message + 'static, A: Message + Default + 'static>(&self, path: &'static str, message: Q) -> Result<A, Status> {
        let mut request = Request::new(message);
        self.sign(&mut request).await?;
        self.send(path, request).await
    }

    async fn send<Q: Message + 'static, A: Message + Default + 'static>(
        &self,
        path: &'static str,
        request: Request<Q>,
    ) -> Result<A, Status> {
        let send = async {
            let mut grpc = self.grpc().await?;
            grpc.unary(request, PathAndQuery::from_static(path), ProstCodec::<Q, A>::default()).await
        };
        let answer = tokio::time::timeout(self.config.request_timeout, send).await;
        answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time"))).map(tonic::Response::into_inner)
    }

    async fn grpc(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(chain(&error)))?;
        Ok(grpc)
    }

    /// Puts the token on a request, where users are asked for.
    async fn sign<T>(&self, request: &mut Request<T>) -> Result<(), Status> {
        let Some((name, password)) = &self.config.user else { return Ok(()) };
        let token = if let Some(token) = self.held() { token } else { self.authenticate(name, password).await? };
        let token = MetadataValue::try_from(token).map_err(|_| Status::unauthenticated("etcd's token is no text"))?;
        request.metadata_mut().insert("token", token);
        Ok(())
    }

    async fn authenticate(&self, name: &str, password: &str) -> Result<String, Status> {
        let message = AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
        let answer: AuthenticateResponse = self.send("/etcdserverpb.Auth/Authenticate", Request::new(message)).await?;
        *self.token.lock().expect("nothing panics while it holds this lock") = Some(answer.token.clone());
        Ok(answer.token)
    }

    fn held(&self) -> Option<String> {
        self.token.lock().expect("nothing panics while it holds this lock").clone()
    }

    /// Whether `status` is about a token that a new one can replace; forgets it.
    fn forget_stale(&self, status: &Status) -> bool {
        let is_stale = self.config.user.is_some() && fault::is_stale_token(status);
        if is_stale {
            *self.token.lock().expect("nothing panics while it holds this lock") = None;
        }
        is_stale
    }
}

/// An error with its causes: tonic's own text says "transport error" and no more.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
