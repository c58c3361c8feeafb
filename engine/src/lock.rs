//! The lock of a data directory.
