//! What the same work costs others, measured in the same run: ratios mean something on a machine that is not alone.

pub(crate) mod constant;
#[cfg(feature = "lsm")]
pub(crate) mod lsm;
pub(crate) mod parse;
