//! The manifest of a data directory.
