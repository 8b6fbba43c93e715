//! The JSON API, live events, metrics and health of a node.
//!
//! **Owns** the HTTP side: connections and their deadlines, authentication, paths, the shapes of requests and answers,
//! the OpenAPI document, and the numbers about all of that.
//! **Comes in:** requests; the queue's notices and the catalog's snapshots; the [`Seat`]: who leads.
//! **Goes out:** answers; commands to the queue through [`mconn_queue::QueueHandle`]; requests to the leader, where
//! that is another node; one log line per request.
//! **Never:** decisions about events, tasks or modules; storage; Marathon. It shows views and passes on commands.
//!
//! ```text
//!  socket -> serve (limits, shutdown) -> guard (slow clients) -> front: who? where? body, deadline, count, log
//!                                                                  |
//!                                    proxy: whose is it? --another node's--> the leader's front
//!                                                                  | ours
//!                                            routes/* --commands--> QueueHandle
//!                                               |  ^----views------ QueueHandle, watch<Snapshot>
//!                                            dto/* (shapes)   problem (errors)
//! ```
//!
//! Routes and their description are one list ([`openapi`] renders it), so no route can be missing from the document.
//! `POST /v1/queue` is the hot path: it reads the event from the request's bytes, waits until it is durable, and answers
//! from a prepared buffer.

mod app;
mod auth;
mod body;
mod dto;
mod event;
mod freshness;
mod front;
mod guard;
mod idle;
mod json;
mod leads;
mod metrics;
mod paths;
mod problem;
mod proxy;
mod routes;
mod seat;
mod serve;
mod similar;
mod text;

pub use app::{App, Build, Follower, FollowerCounts, Limits, ReadyWhen, RequestCounts};
pub use auth::{Basic, Credentials};
pub use routes::openapi;
pub use seat::{Apart, Lead, Leader, Member, Position, Seat, StepDown};
pub use serve::{Served, serve};
