//! The Merkle search tree that holds a repository's records by path.
//!
//! A tree's shape follows from its keys: a key's layer is the number of pairs of zero bits with which its
//! hash begins, a node holds keys of one layer, and what lies between two of them hangs in a node one layer
//! below. So there is one tree for each set of records, and what is not shaped like it is refused.

mod node;
mod path;
mod prove;
mod walk;

pub(crate) use path::is_part;
pub use path::{is_path, layer};
pub use prove::{Proven, prove};
pub use walk::{Walk, walk};
