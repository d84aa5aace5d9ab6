//! The HTTP door as a task that can be closed.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use limosa_node::transport::Tls;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::http::{Control, Hosts, Operate, Sniff, listen, router};

/// A served HTTP port. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct HttpDoor {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl HttpDoor {
    /// Serves `control` on `listener`, over TLS for those who begin with it. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the listener can't be handed to the runtime.
    pub fn open<C: Control + Operate>(listener: TcpListener, tls: Tls, control: Arc<C>, hosts: Hosts) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(listen(listener, Sniff(tls), router(control, hosts), stopped));
        Ok(Self { stop, task })
    }

    /// Takes no more connections and waits until the requests under way are answered.
    pub async fn close(self) {
        // No receiver is left when the task has ended already.
        let _ = self.stop.send(true);
        if let Err(error) = self.task.await {
            tracing::error!(code = "server.http", %error, "the HTTP door ended by itself");
        }
    }
}
