//! All records of a tree, in the order of their paths.

use crate::car::Car;
use crate::cid::Cid;
use crate::error::RepoError;

use super::node::{Entries, Node, out_of_order};

/// The records of a tree: path and CID, in order. Ends after an error. See [`walk`].
#[derive(Debug)]
pub struct Walk<'c, 'a> {
    car: &'c Car<'a>,
    root: Option<Cid>,
    /// The nodes from the root to where the walk is, one for each layer: at most 129.
    open: Vec<Open<'a>>,
    last: Vec<u8>,
}

#[derive(Debug)]
struct Open<'a> {
    node: Cid,
    layer: u32,
    entries: Entries<'a>,
    given: usize,
    /// What is to be walked before the next entry.
    below: Option<Cid>,
}

/// Walks a tree whose nodes must all be in the CAR. Whether the records are there is not looked at.
///
/// Nodes are checked as they are met: what was given out before an error stands in the tree, but the tree is
/// none that can be trusted.
#[must_use]
pub const fn walk<'c, 'a>(car: &'c Car<'a>, root: &Cid) -> Walk<'c, 'a> {
    Walk {
        car,
        root: Some(*root),
        open: Vec::new(),
        last: Vec::new(),
    }
}

impl Walk<'_, '_> {
    fn enter(&mut self, cid: Cid, above: Option<u32>) -> Result<(), RepoError> {
        let node = Node::open(self.car, cid, above)?;
        self.open.push(Open {
            node: cid,
            layer: node.layer,
            entries: node.entries(),
            given: 0,
            below: node.left,
        });
        Ok(())
    }

    fn step(&mut self) -> Result<Option<(String, Cid)>, RepoError> {
        if let Some(root) = self.root.take() {
            self.enter(root, None)?;
        }
        while let Some(open) = self.open.last_mut() {
            if let Some(below) = open.below.take() {
                let layer = open.layer;
                self.enter(below, Some(layer))?;
                continue;
            }
            let Some(entry) = open.entries.next()? else {
                self.open.pop();
                continue;
            };
            let key = open.entries.key();
            // Within a node the order was checked, between nodes it is here.
            if key <= self.last.as_slice() {
                return Err(out_of_order(open.node, open.given, key));
            }
            open.given += 1;
            open.below = entry.right;
            self.last.clear();
            self.last.extend_from_slice(key);
            let path = String::from_utf8_lossy(key).into_owned();
            return Ok(Some((path, entry.value)));
        }
        Ok(None)
    }
}

impl Iterator for Walk<'_, '_> {
    type Item = Result<(String, Cid), RepoError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.open.clear();
        }
        step.transpose()
    }
}

impl std::iter::FusedIterator for Walk<'_, '_> {}
