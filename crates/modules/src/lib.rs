//! The modules that mconn ships.
