//! A simulated Marathon on real sockets, deterministic by seed.
