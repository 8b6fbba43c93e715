//! JSON API, live events, metrics and health endpoints.
