//! What callgrind writes of a run, and to which stage of the work each instruction belongs. The format is that of Valgrind's
//! manual, "Callgrind Format Specification".

use std::collections::HashMap;

/// A function, by the order in which they are met.
type Function = usize;

/// Instructions of one function in one file, its own or one it has code from.
#[derive(Debug)]
struct Own {
    file: usize,
    cost: f64,
}

/// All calls of one function from one place of another.
#[derive(Debug)]
struct Call {
    /// Where the caller's code that calls is from.
    file: usize,
    callee: Function,
    /// With all that is called there.
    cost: f64,
}

#[derive(Debug, Default)]
struct Node {
    own: Vec<Own>,
    calls: Vec<Call>,
}

/// The functions of a run and who called whom.
#[derive(Debug, Default)]
pub(crate) struct CallGraph {
    names: Vec<String>,
    nodes: Vec<Node>,
    files: Vec<String>,
    /// All instructions of the run.
    sum: f64,
}

/// Names that stand in full only where they come first: `(id) name`, later `(id)`.
#[derive(Default)]
struct Ids(HashMap<String, usize>);

impl Ids {
    fn place(&mut self, text: &str, all: &mut Vec<String>) -> usize {
        let (id, name) = match text.split_once(") ") {
            Some((id, name)) => (id, name),
            None => (text.trim_end_matches(')'), text),
        };
        *self.0.entry(id.to_owned()).or_insert_with(|| {
            all.push(name.to_owned());
            all.len() - 1
        })
    }
}

impl CallGraph {
    /// Reads what callgrind wrote. Lines of other kinds than functions, files, calls and costs are passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let mut graph = Self::default();
        let (mut functions, mut files) = (Ids::default(), Ids::default());
        let (mut function, mut file, mut callee) = (None, 0, None);
        let mut is_call = false;
        for line in text.lines() {
            match line.split_once('=') {
                Some(("fn", name)) => {
                    let place = functions.place(name, &mut graph.names);
                    function = Some(place);
                }
                Some(("cfn", name)) => callee = Some(functions.place(name, &mut graph.names)),
                Some(("fl" | "fi" | "fe", name)) => file = files.place(name, &mut graph.files),
                // A callee's file, whose name may stand here first.
                Some(("cfi" | "cfl", name)) => {
                    files.place(name, &mut graph.files);
                }
                Some(("calls", _)) => is_call = true,
                Some(_) => {}
                None if line.starts_with("summary:") => {
                    let sum = line.split_whitespace().nth(1);
                    graph.sum = sum.and_then(|sum| sum.parse().ok()).unwrap_or_default();
                }
                None => {
                    let mut words = line.split_whitespace();
                    let place = words.next().unwrap_or_default();
                    let is_cost =
                        place.starts_with(|c: char| "+-*".contains(c) || c.is_ascii_digit());
                    let cost = words.next().and_then(|cost| cost.parse::<f64>().ok());
                    let (Some(function), Some(cost), true) = (function, cost, is_cost) else {
                        continue;
                    };
                    graph.nodes.resize_with(graph.names.len(), Node::default);
                    let Some(node) = graph.nodes.get_mut(function) else {
                        continue;
                    };
                    match (is_call, callee) {
                        (true, Some(callee)) => node.calls.push(Call { file, callee, cost }),
                        _ => node.own.push(Own { file, cost }),
                    }
                    is_call = false;
                }
            }
        }
        graph.nodes.resize_with(graph.names.len(), Node::default);
        graph
    }

    /// Instructions by stage, and last what is left of the whole. `stage` tells the one of a function, or of a file that code is from:
    /// code belongs to the stage of its file, else of its function. What has neither, as the standard library, belongs to whoever called it.
    pub(crate) fn by_stage(
        &self,
        stages: usize,
        of_file: &dyn Fn(&str) -> Option<usize>,
        of_function: &dyn Fn(&str) -> Option<usize>,
    ) -> Vec<f64> {
        let files: Vec<_> = self.files.iter().map(|file| of_file(file)).collect();
        let functions: Vec<_> = self.names.iter().map(|name| of_function(name)).collect();
        let stage = |function: Function, file: usize| {
            let of_file = files.get(file).copied().flatten();
            of_file.or_else(|| functions.get(function).copied().flatten())
        };
        let mut loose = Loose {
            graph: self,
            stage: &stage,
            known: vec![Share::Unknown; self.nodes.len()],
        };
        let mut sums = vec![0.0; stages + 1];
        for (function, node) in self.nodes.iter().enumerate() {
            for own in &node.own {
                if let Some(sum) = stage(function, own.file).and_then(|at| sums.get_mut(at)) {
                    *sum += own.cost;
                }
            }
            for call in &node.calls {
                let part = call.cost * loose.share(call.callee);
                if let Some(sum) = stage(function, call.file).and_then(|at| sums.get_mut(at)) {
                    *sum += part;
                }
            }
        }
        let staged: f64 = sums.iter().sum();
        if let Some(none) = sums.last_mut() {
            *none = self.sum - staged;
        }
        sums
    }
}

/// Which part of a function's instructions, with those of its calls, belongs to whoever called it.
struct Loose<'g> {
    graph: &'g CallGraph,
    stage: &'g dyn Fn(Function, usize) -> Option<usize>,
    known: Vec<Share>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Share {
    Unknown,
    /// Being found out, further up.
    Open,
    Known(f64),
}

impl Loose<'_> {
    fn share(&mut self, function: Function) -> f64 {
        match self.find(function) {
            Share::Known(share) => share,
            _ => 0.0,
        }
    }

    fn find(&mut self, function: Function) -> Share {
        let (Some(node), Some(known)) =
            (self.graph.nodes.get(function), self.known.get_mut(function))
        else {
            return Share::Known(0.0);
        };
        if *known != Share::Unknown {
            return *known;
        }
        *known = Share::Open;
        let (mut all, mut loose) = (0.0, 0.0);
        for own in &node.own {
            all += own.cost;
            if (self.stage)(function, own.file).is_none() {
                loose += own.cost;
            }
        }
        for call in &node.calls {
            // What calls itself is as a whole what it is without that.
            if let Share::Known(share) = self.find(call.callee) {
                all += call.cost;
                if (self.stage)(function, call.file).is_none() {
                    loose += call.cost * share;
                }
            }
        }
        let share = Share::Known(if all > 0.0 { loose / all } else { 0.0 });
        if let Some(known) = self.known.get_mut(function) {
            *known = share;
        }
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `main` calls `parse` for 14 (10 by itself, of which 5 in code from links.rs, and `copy` for 4), `copy` for 6, and
    /// `sort` for 30, of which 20 are calls of `less` and 6 of itself.
    const RUN: &str = "\
version: 1
events: Ir
summary: 53

fl=(1) main.rs
fn=(1) main
1 3
cfi=(2) parse.rs
cfn=(2) parse
calls=1 +3
* 14
cfi=(3) string.S
cfn=(3) copy
calls=2 7
+1 6
cfn=(4) sort
calls=1 9
* 30

fl=(2)
fn=(2)
4 5
fi=(4) links.rs
+2 5
fe=(2)
cfi=(3)
cfn=(3)
calls=1 7
-1 4

fl=(3)
fn=(3)
7 10

fl=(5) sort.rs
fn=(4)
9 10
cfn=(5) less
calls=9 1
* 20
cfn=(4)
calls=1 1
* 6

fl=(6) less.rs
fn=(5)
1 20
";

    #[test]
    fn what_has_no_stage_belongs_to_who_called_it() {
        let graph = CallGraph::parse(RUN);
        let of_file = |file: &str| (file == "links.rs").then_some(1);
        let of_function = |name: &str| match name {
            "parse" => Some(0),
            "less" => Some(1),
            "main" => Some(2),
            _ => None,
        };
        let sums = graph.by_stage(3, &of_file, &of_function);
        assert_eq!(sums, [5.0 + 4.0, 5.0 + 20.0, 3.0 + 6.0 + 10.0, 0.0]);
        let of_function = |name: &str| (name == "less").then_some(0);
        let sums = graph.by_stage(1, &|_| None, &of_function);
        assert_eq!(sums, [20.0, 33.0]);
    }
}
