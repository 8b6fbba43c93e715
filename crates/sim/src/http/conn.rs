//! A connection, plain or encrypted.

use rustls::ServerConfig;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A client that takes longer to say who it is, is gone.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// A client's connection.
#[derive(Debug)]
pub(super) enum Conn {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Conn {
    /// Greets the client. None if it goes away, or does not speak TLS where it has to.
    pub(super) async fn open(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Option<Conn> {
        // Heartbeat bytes have to travel alone.
        stream.set_nodelay(true).ok()?;
        let Some(tls) = tls else { return Some(Conn::Plain(stream)) };
        match tokio::time::timeout(HANDSHAKE_TIME, TlsAcceptor::from(tls.clone()).accept(stream)).await {
            Ok(Ok(stream)) => Some(Conn::Tls(Box::new(stream))),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no TLS with a client");
                None
            }
            Err(_) => None,
        }
    }

    /// Ends the connection with a reset instead of a farewell.
    pub(super) fn reset(self) {
        let socket = match &self {
            Conn::Plain(stream) => stream,
            Conn::Tls(stream) => stream.get_ref().0,
        };
        // If even this fails, the connection is gone already.
        let _ = socket.set_zero_linger();
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Conn::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Conn::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Conn {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Conn::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Conn::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Conn::Plain(stream) => Pin::new(stream).poll_flush(context),
            Conn::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Conn::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Conn::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
