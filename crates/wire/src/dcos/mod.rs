//! Logging in to DC/OS: a service account or a user gets a token, and keeps one that is good (spec/marathon.md section 9).
//!
//! [`DcosLogin`] is the thin shell: it sends the logins, one at a time. `session` decides when one is due, without clock,
//! I/O or randomness; `jwt` signs what a service account proves itself with.
//!
//! ```text
//!   token() --> session: is one due? --no--> the token that is held
//!      ^            | yes
//!      |            v
//!      |        one login for all who wait --> POST login_endpoint --> token with its own end
//!   refused() -- a 401: the next token() logs in again
//! ```

mod credential;
mod error;
mod jwt;
mod session;
mod shell;

pub use credential::{CredentialError, DcosCredential};
pub use error::LoginError;
pub use shell::{DcosLogin, DcosSettings};
