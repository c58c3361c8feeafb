//! What a tree has at one path.

use std::cmp::Ordering;

use crate::car::Car;
use crate::cid::Cid;
use crate::error::RepoError;

use super::node::Node;
use super::path::layer;

/// What a path is proven to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proven {
    /// This record.
    Present(Cid),
    /// Nothing: the node in which it would stand is there, and does not have it.
    Absent,
}

/// Walks from the root to the place of `path`, over blocks of the CAR only. Each node on the way is checked
/// whole. The way ends on the path's own layer: further down it cannot stand.
///
/// # Errors
/// A node on the way is missing ([`RepoError::MissingBlock`]) or is not as it must be.
pub fn prove(car: &Car<'_>, root: &Cid, path: &str) -> Result<Proven, RepoError> {
    let wanted = path.as_bytes();
    let on_layer = layer(wanted);
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
            Some(cid) if node.layer > on_layer => {
                node = Node::open(car, cid, Some(node.layer))?;
            }
            _ => return Ok(Proven::Absent),
        }
    }
}
