//! The one in-memory truth: folds what sources say into immutable, numbered snapshots.
