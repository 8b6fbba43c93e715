//! How a handler gets what only the leader has: the front puts it into the request when this node leads, so that one
//! request sees one lead from its beginning to its end.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::problem::Problem;
use crate::seat::Lead;

/// The lead, for handlers that cannot do without.
#[derive(Debug, Clone)]
pub(crate) struct Leads(pub(crate) Arc<Lead>);

impl<S: Sync> FromRequestParts<S> for Leads {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::no_leader("this node does not lead"))
    }
}

/// The lead, for handlers that have less to show without.
#[derive(Debug)]
pub(crate) struct MayLead(pub(crate) Option<Arc<Lead>>);

impl<S: Sync> FromRequestParts<S> for MayLead {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<Leads>().map(|Leads(lead)| lead.clone())))
    }
}
