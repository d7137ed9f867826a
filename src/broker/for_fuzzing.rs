//! What the fuzz targets need: a broker that serves a stream of bytes that never was a socket. No part of the interface.

use std::fmt;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Broker;
use super::connection::serve;

impl Broker {
    /// Serves one client over this stream until it goes.
    #[doc(hidden)]
    pub async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> impl fmt::Debug {
        serve(stream, Arc::clone(&self.shared), 0, 0, "/fuzz".to_owned()).await
    }
}
