//! The store of a single node: one crash-safe file in a data directory.
