//! Framers of foreign streams and the HTTP client with its limits, authentication and TLS.
//!
//! **Owns** how bytes of others become frames, and how a request is sent so that it always ends: with an answer, or
//! with an error that says whose fault it was; how a login gets and keeps a token.
//! **Comes in:** bytes in any split ([`sse`]); a URL, credentials and limits ([`http`]); an account ([`dcos`]).
//! **Goes out:** events; answers with whole bodies; streams that notice silence; tokens.
//! **Never:** knows what Marathon or Mesos mean, follows a redirect on its own, retries, keeps more than its limits in
//! memory, takes a truncated body for a short one, or shows a password. The crypto provider of TLS is named in one place
//! only, `http/tls.rs`, and never made the process default.
//!
//! ```text
//!   socket --> reqwest (TLS, gzip) --> http: deadline, body limit --> whole body --> whoever parses it
//!                                  \-> http: idle limit --> chunk --> sse --> event
//! ```

pub mod dcos;
pub mod http;
pub mod sse;
#[cfg(feature = "testing")]
pub mod testing;
