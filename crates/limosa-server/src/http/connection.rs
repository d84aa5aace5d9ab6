//! One HTTP/1.1 connection, from whatever stream carries it.

use std::future::Future;
use std::pin::pin;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use limosa_node::transport::Caller;
use tokio::io::{AsyncRead, AsyncWrite};

use limosa_core::limits::{HTTP_HEAD_BYTES_MAX, HTTP_HEAD_TIME_MAX};

/// Answers requests of `caller` until either end closes. Once `stop` is ready, the request under way is answered and then the connection ends.
///
/// # Errors
/// When the connection broke or did not speak HTTP; there is nothing to do but to drop it.
pub async fn serve_connection<S>(stream: S, caller: Caller, router: Router, stop: impl Future<Output = ()>) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(caller.clone());
        routes.call(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HTTP_HEAD_TIME_MAX)
            .max_buf_size(HTTP_HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stop => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}
