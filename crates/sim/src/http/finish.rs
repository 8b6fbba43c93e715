//! What every answer gets: the common headers, compression, and what a fault does to it.

use super::Shared;
use super::wire::{Manner, Request, Response};
use crate::faults::Damage;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

/// Smaller bodies are not worth compressing.
const GZIP_FROM: usize = 256;
/// Larger bodies are compressed aside, so that other connections are not held up.
const GZIP_ASIDE_FROM: usize = 64 * 1024;

/// The headers of every answer of this node itself.
pub(super) async fn common_headers(shared: &Shared) -> Vec<(&'static str, String)> {
    let mut headers = Vec::with_capacity(8);
    if shared.options.profile.nodes.leader_header && shared.leads() {
        let leader = shared.driver.query(|cluster| cluster.leader().to_owned()).await.unwrap_or_default();
        headers.push(("X-Marathon-Leader", format!("{}://{leader}", shared.scheme())));
    }
    headers.extend([
        ("Cache-Control", "no-cache, no-store, must-revalidate".into()),
        ("Pragma", "no-cache".into()),
        ("Expires", "0".into()),
    ]);
    if shared.options.profile.security_headers {
        headers.push(("X-Frame-Options", "DENY".into()));
        headers.push(("X-XSS-Protection", "1; mode=block".into()));
    }
    if let Ok(now) = shared.driver.query(crate::cluster::Cluster::now).await {
        headers.push(("Date", now.http_date()));
    }
    headers
}

/// Adds the common headers, does the damage, and compresses.
pub(super) async fn finish(
    mut response: Response,
    request: &Request,
    shared: &Shared,
    damage: &Damage,
) -> (Response, Manner) {
    if damage.garbage {
        response = garbage();
    }
    response.headers.extend(common_headers(shared).await);
    let mut manner = Manner {
        keep_alive: request.keep_alive,
        head_only: request.method == "HEAD",
        pad: damage.pad,
        ..Manner::default()
    };
    compress(&mut response, request, &mut manner.pad).await;
    harm(&mut response, &mut manner, damage);
    (response, manner)
}

/// The damage that can be done to any answer, also to one that another node gave.
pub(super) fn harm(response: &mut Response, manner: &mut Manner, damage: &Damage) {
    if let Some(leader) = &damage.leader {
        response.headers.retain(|(name, _)| *name != "X-Marathon-Leader");
        if !leader.is_empty() {
            response.headers.push(("X-Marathon-Leader", leader.clone()));
        }
    }
    if damage.keep_percent.is_some() {
        manner.keep_percent = damage.keep_percent;
        manner.keep_alive = false;
    }
    manner.bytes_per_second = damage.bytes_per_second.or(manner.bytes_per_second);
}

/// Begins like a list of apps, and goes on with what is neither JSON nor UTF-8.
fn garbage() -> Response {
    Response::new(200, "application/json", &b"{\"apps\":[{\"id\":\"/\xff\xfe\x00,]}]\"tasks\":nul"[..])
}

/// `pad` blanks are packed as well, and then counted no more.
async fn compress(response: &mut Response, request: &Request, pad: &mut u64) {
    let textual =
        response.content_type.starts_with("application/json") || response.content_type.starts_with("text/");
    let length = response.body.len() as u64 + *pad;
    if !textual || length < GZIP_FROM as u64 || !request.accepts_gzip() {
        return;
    }
    let (body, blanks) = (response.body.clone(), *pad);
    let packed = if length < GZIP_ASIDE_FROM as u64 {
        gzip(&body, blanks)
    } else {
        tokio::task::spawn_blocking(move || gzip(&body, blanks)).await.ok().flatten()
    };
    if let Some(packed) = packed {
        response.body = packed;
        response.headers.push(("Content-Encoding", "gzip".into()));
        response.headers.push(("Vary", "Accept-Encoding, User-Agent".into()));
        *pad = 0;
    }
}

fn gzip(body: &[u8], mut blanks: u64) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body).ok()?;
    let part = [b' '; 16 * 1024];
    while blanks > 0 {
        let part = &part[..usize::try_from(blanks).unwrap_or(usize::MAX).min(part.len())];
        encoder.write_all(part).ok()?;
        blanks -= part.len() as u64;
    }
    encoder.finish().ok().map(Bytes::from)
}
