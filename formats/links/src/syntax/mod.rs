//! Strict parsers.
