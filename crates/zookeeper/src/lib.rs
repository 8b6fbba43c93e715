//! Everything that talks to ZooKeeper.
//!
//! **Owns** the session (an adapter round `zookeeper-client`: deadlines, classified errors, namespace, access lists), the
//! store of several nodes with its fencing token, and the reader of an original MConn's tree.
//! **Comes in:** [`Settings`]; batches of writes from the queue of the node that leads.
//! **Goes out:** a [`mconn_store::Store`], states of the session, watches, nodes for the election.
//! **Never:** decides who leads (`mconn-leadership` does), and never writes for a leader without the check of its epoch
//! in the same transaction.
//!
//! ```text
//!   election --claim()--> Fence --> ZookeeperStore --multi[check epoch, check next, changes]--> ZooKeeper
//!      \----- Session: create, get, set, children, watch, states ------------------------------/
//! ```
//!
//! What the client library does that one must know, and our rule for each, stands in [`session`].
//!
//! # What is deliberately absent
//!
//! * No TLS to ZooKeeper. The library has a feature for it, but `zookeeper-client` 0.11.2 and its `futures-rustls` take `rustls`
//!   with its default features, which bring aws-lc-rs and a C tree of its own; we build with ring alone, and no feature of
//!   theirs leaves aws-lc out. Until then, put a tunnel (stunnel, a service mesh) on each node and give `127.0.0.1` as the
//!   host; credentials go over the wire as they are, so without a tunnel keep ZooKeeper in a network of its own.
//! * No second life for a namespace that is deleted while nodes run: the path is made again and the line goes on, with epochs
//!   above those that running nodes have seen, but the data are gone. If only the epoch's node was deleted, nodes that have
//!   never seen an epoch refuse to work and say what to do.

pub mod election;
pub mod error;
pub mod fence;
pub mod import;
pub mod local;
pub mod session;
pub mod settings;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, ErrorKind};
pub use fence::{Fence, claim};
pub use import::{Original, find_original, read_original};
pub use session::{Change, Done, Session, Stat, State, States, Watch};
pub use settings::{Digest, Host, Settings, SettingsError};
pub use store::ZookeeperStore;
