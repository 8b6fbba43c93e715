//! Journal, lanes, module runs, inventory and sync.
