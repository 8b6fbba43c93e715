//! Following one Marathon: attach the stream, list everything, pass events on, notice silence, compare, never end.
//!
//! [`Follower`] decides, without clock, I/O or randomness: `(input, moment) -> effects`. [`follow`] is the thin shell
//! that opens the streams, sends the requests and moves the observations.
//!
//! ```text
//!   stream: opened, events, ended --\                    /--> open or close the stream
//!   answers of fetches -------------- step(moment) ----- ---> fetch (one at a time)
//!   requests of the catalog --------/        |           \--> observations, in order, in batches
//!   timer: deadline() <----------------------+
//! ```

mod fetches;
mod machine;
mod requests;
mod settings;
mod shell;
#[cfg(test)]
mod tests;

pub use fetches::{Fetch, Request};
pub use machine::{Effect, Follower, Input, Moment};
pub use requests::{RequestCount, RequestKind, RequestStats};
pub use settings::FollowSettings;
pub use shell::{Ended, FollowStats, Wiring, follow};
