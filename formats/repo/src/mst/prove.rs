//! What a tree has at one path.

use std::cmp::Ordering;

use crate::car::Car;
use crate::cid::Cid;
use crate::error::RepoError;

use super::node::Node;

/// What a path is proven to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proven {
    /// This record.
    Present(Cid),
    /// Nothing: the tree has no room for it in a place that is not in the blocks.
    Absent,
}

/// Walks from the root to the place of `path`, over blocks of the CAR only. Each node on the way is checked
/// whole.
///
/// # Errors
/// A node on the way is missing ([`RepoError::MissingBlock`]) or is not as it must be.
pub fn prove(car: &Car<'_>, root: &Cid, path: &str) -> Result<Proven, RepoError> {
    let wanted = path.as_bytes();
    let mut low: Option<Vec<u8>> = None;
    let mut high: Option<Vec<u8>> = None;
    let mut node = Node::open(car, *root, None)?;
    // Each round is one layer further down, of which there are at most 128.
    loop {
        node.check_between(low.as_deref(), high.as_deref())?;
        let mut below = node.left;
        let mut entries = node.entries();
        while let Some(entry) = entries.next()? {
            match entries.key().cmp(wanted) {
                Ordering::Less => {
                    below = entry.right;
                    low = Some(entries.key().to_vec());
                }
                Ordering::Equal => return Ok(Proven::Present(entry.value)),
                Ordering::Greater => {
                    high = Some(entries.key().to_vec());
                    break;
                }
            }
        }
        match below {
            None => return Ok(Proven::Absent),
            Some(cid) => node = Node::open(car, cid, Some(node.layer))?,
        }
    }
}
