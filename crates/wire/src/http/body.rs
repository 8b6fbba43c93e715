//! Reading bodies: whole ones with a limit, endless ones with a watch on silence.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::error::{self, HttpError, Phase, ShownUrl};

/// How much memory an announced length may reserve at once; the rest is taken as it comes.
const MAX_RESERVED: u64 = 8 * 1024 * 1024;

/// Reads the body to its end. The limit counts bytes after decompression, so that a small bomb cannot grow.
pub(super) async fn collect(
    response: &mut reqwest::Response,
    url: &ShownUrl,
    limit: usize,
) -> Result<Bytes, HttpError> {
    let announced = response.content_length();
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(HttpError::TooLarge { url: url.clone(), limit });
    }
    let mut whole = BytesMut::with_capacity(announced.unwrap_or(0).min(MAX_RESERVED) as usize);
    while let Some(chunk) = response.chunk().await.map_err(|error| error::of_body(&error, url))? {
        if whole.len() + chunk.len() > limit {
            return Err(HttpError::TooLarge { url: url.clone(), limit });
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// A body that is read piece by piece, with no end in sight.
#[derive(Debug)]
pub struct BodyStream {
    response: reqwest::Response,
    url: ShownUrl,
}

impl BodyStream {
    pub(super) fn new(response: reqwest::Response, url: ShownUrl) -> Self {
        Self { response, url }
    }

    /// The next bytes, `None` at the end. Waits without limit: for callers that keep their own watch. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// [`HttpError::Broken`] when the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        self.response.chunk().await.map_err(|error| error::of_body(&error, &self.url))
    }

    /// The next bytes, `None` at the end, or an error after `idle` without any.
    ///
    /// # Errors
    /// [`HttpError::Timeout`] after silence, [`HttpError::Broken`] when the connection breaks.
    pub async fn chunk_within(&mut self, idle: Duration) -> Result<Option<Bytes>, HttpError> {
        match timeout(idle, self.chunk()).await {
            Ok(chunk) => chunk,
            Err(_) => Err(HttpError::Timeout { url: self.url.clone(), phase: Phase::Idle, after: idle }),
        }
    }

    /// Where the stream comes from.
    #[must_use]
    pub fn url(&self) -> &ShownUrl {
        &self.url
    }
}
