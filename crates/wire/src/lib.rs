//! Framers of foreign streams and the HTTP client with its limits, authentication and TLS.
