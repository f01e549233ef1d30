//! The port: accepts connections, hands requests to the doors, and stops cleanly.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::node::{Node, OpenError};
use crate::{credentials, doors, workers};

/// How long open connections may take to finish once a stop was asked for.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long a request that is on its way at the moment of a stop may take to arrive,
const LAST_CALL: Duration = Duration::from_millis(100);
/// and the first one of a connection, which nobody opens for nothing.
const FIRST_REQUEST_MAX: Duration = Duration::from_secs(2);
/// A client must send its headers within this, or it only holds a place.
const HEADERS_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("listen on {address}; is another program there? `--listen` chooses another port")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("start")]
    Open(#[from] OpenError),
    #[error("the journal no longer knows what is on disk and has stopped; start again to recover")]
    Poisoned,
    #[error(
        "a background worker failed by a mistake in Cairn and has stopped; start again to recover, and please report the log"
    )]
    WorkerDied,
}

/// Takes the port. With port 0 the system chooses one, which the listener then knows.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

/// Serves until `stop` is cancelled, then finishes what is under way: open requests, a last turn
/// of delivery, the journal's last sync.
pub async fn serve(
    node: Arc<Node>,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    credentials::write_node_file(&node.settings, node.disk.as_ref()).map_err(OpenError::from)?;
    let tasks = TaskTracker::new();
    let stop_workers = CancellationToken::new();
    let worker_died = CancellationToken::new();
    workers::start(&node, &stop_workers, &worker_died, &tasks)?;

    let connections = TaskTracker::new();
    let mut watch_journal = tokio::time::interval(Duration::from_millis(200));
    let outcome = loop {
        tokio::select! {
            () = stop.cancelled() => break Ok(()),
            () = worker_died.cancelled() => break Err(ServeError::WorkerDied),
            _ = watch_journal.tick() => {
                if node.is_poisoned() {
                    break Err(ServeError::Poisoned);
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    // Small answers must not wait for more bytes (Nagle's algorithm).
                    let _ = stream.set_nodelay(true);
                    connections.spawn(connection(node.clone(), stream, peer, stop.clone()));
                }
                Err(error) => {
                    // Usually too many open files: wait for some to close.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    };
    // Who connected before the stop has perhaps sent a request already.
    let last_call = async {
        while let Ok((stream, peer)) = listener.accept().await {
            connections.spawn(connection(node.clone(), stream, peer, stop.clone()));
        }
    };
    let _ = tokio::time::timeout(LAST_CALL, last_call).await;
    // A connection made between the last accept and the close would be reset, its request unanswered.
    refuse_newcomers(&listener);
    // Asked of the system itself: the runtime may not have heard of the last ones yet.
    if let Ok(listener) = listener.into_std() {
        while let Ok((stream, peer)) = listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            let Ok(stream) = stream else { continue };
            connections.spawn(connection(node.clone(), stream, peer, stop.clone()));
        }
    }
    connections.close();
    if tokio::time::timeout(DRAIN_MAX, connections.wait()).await.is_err() {
        tracing::warn!("some connections did not finish in time");
    }
    node.stop();
    stop_workers.cancel();
    tasks.close();
    tasks.wait().await;
    node.journal.clone().close().await;
    node.catalog.close().await;
    outcome
}

/// From here on nobody's connection is made: the system drops the first packet, and when it is sent
/// again the port is closed. Other systems than Linux keep a gap of microseconds.
#[cfg(target_os = "linux")]
fn refuse_newcomers(listener: &TcpListener) {
    /// Classic BPF, `ret k`: keeps k bytes of a packet.
    const RETURN: u16 = 0x06;
    const NOTHING: u32 = 0;
    let drop_all = [socket2::SockFilter::new(RETURN, 0, 0, NOTHING)];
    if let Err(error) = socket2::SockRef::from(listener).attach_filter(&drop_all) {
        tracing::debug!(%error, "connections made while the port closes may be reset");
    }
}

#[cfg(not(target_os = "linux"))]
fn refuse_newcomers(_: &TcpListener) {}

async fn connection(node: Arc<Node>, stream: TcpStream, peer: SocketAddr, stop: CancellationToken) {
    let asked = Arc::new(Notify::new());
    let service = service_fn({
        let asked = asked.clone();
        move |request| {
            asked.notify_one();
            let node = node.clone();
            async move { Ok::<_, std::convert::Infallible>(doors::route(node, peer, request).await) }
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_MAX).max_headers(100);
    builder.http2().timer(TokioTimer::new());
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    tokio::select! {
        outcome = serving.as_mut() => {
            if let Err(error) = outcome {
                tracing::debug!(%peer, error, "connection ended");
            }
            return;
        }
        () = stop.cancelled() => {}
    }
    // A connection whose request is still on its way looks idle, and would be closed unanswered.
    let last_call = async {
        tokio::time::sleep(LAST_CALL).await;
        let _ = tokio::time::timeout(FIRST_REQUEST_MAX - LAST_CALL, asked.notified()).await;
    };
    tokio::select! {
        _ = serving.as_mut() => return,
        () = last_call => serving.as_mut().graceful_shutdown(),
    }
    if let Err(error) = serving.await {
        tracing::debug!(%peer, error, "connection ended");
    }
}
