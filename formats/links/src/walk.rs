//! The walk: from a tree of values to links, for any format that implements [`Node`]. It owns how a
//! path grows; what a link is, is the business of `target`.
//!
//! The path is one buffer that grows on the way down and is cut on the way up. It grows only for
//! values that matter, which most members of a record do not. The walk recurses; `Limits::depth`
//! bounds how far.

use std::ops::ControlFlow;

use crate::extract::{Limits, LinkBuffer, Truncation};
use crate::node::{Node, View};
use crate::target::parse_target;

/// Puts the links of a record with these members into `found`. `path` is scratch and must be empty.
pub(crate) fn record<'v, M, N>(
    members: M,
    path: &mut String,
    found: &mut LinkBuffer,
    limits: &Limits,
) where
    M: Iterator<Item = (&'v str, N)>,
    N: Node<'v>,
{
    if limits.depth == 0 {
        found.truncate(Truncation::Depth);
        return;
    }
    let mut walk = Walk {
        path,
        found,
        limits,
    };
    // A break says that a limit ended the walk, which `found` has noted.
    let _ = walk.members(members, 1);
}

struct Walk<'w> {
    path: &'w mut String,
    found: &'w mut LinkBuffer,
    limits: &'w Limits,
}

impl Walk<'_> {
    /// Walks the members of an object at `depth`.
    fn members<'v, M, N>(&mut self, members: M, depth: usize) -> ControlFlow<()>
    where
        M: Iterator<Item = (&'v str, N)>,
        N: Node<'v>,
    {
        let parent = self.path.len();
        for (key, value) in members {
            let grow = |path: &mut String| {
                path.push('.');
                path.push_str(key);
            };
            self.value(value.view(), depth, grow)?;
            self.path.truncate(parent);
        }
        ControlFlow::Continue(())
    }

    /// Walks the elements of an array at `depth`.
    fn elements<'v, E, N>(&mut self, elements: E, depth: usize) -> ControlFlow<()>
    where
        E: Iterator<Item = N>,
        N: Node<'v>,
    {
        let parent = self.path.len();
        for element in elements {
            let view = element.view();
            let grow = |path: &mut String| {
                path.push('[');
                path.push_str(element.type_name().unwrap_or_default());
                path.push(']');
            };
            self.value(view, depth, grow)?;
            self.path.truncate(parent);
        }
        ControlFlow::Continue(())
    }

    /// Walks one value inside a container at `depth`; `grow` adds the value's own step to the path.
    #[inline]
    fn value<'v, N: Node<'v>>(
        &mut self,
        view: View<'v, N>,
        depth: usize,
        grow: impl FnOnce(&mut String),
    ) -> ControlFlow<()> {
        match view {
            View::Other | View::PlainText(_) => {}
            View::Text(text) => {
                if let Some((target, kind)) = parse_target(text) {
                    grow(self.path);
                    if !self.found.push(self.path, &target, kind, self.limits) {
                        return ControlFlow::Break(());
                    }
                }
            }
            View::Object(_) | View::Array(_) if depth >= self.limits.depth => {
                self.found.truncate(Truncation::Depth);
            }
            View::Object(members) => {
                grow(self.path);
                self.members(members, depth + 1)?;
            }
            View::Array(elements) => {
                grow(self.path);
                self.elements(elements, depth + 1)?;
            }
        }
        ControlFlow::Continue(())
    }
}
