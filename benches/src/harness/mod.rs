//! What every measurement is made with: percentiles, what the system knows of a process, instruction counts, curves,
//! the table of figures, and the programs that are measured.

pub(crate) mod arguments;
pub(crate) mod call_graph;
pub(crate) mod callgrind;
pub(crate) mod figures;
pub(crate) mod percentile;
pub(crate) mod plot;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod timing;
