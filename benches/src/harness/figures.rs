//! What was measured, beside what the budget says: printed as it comes, and again as rows of a table.

use std::fmt::Write as _;

/// What a figure must and should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Budget {
    /// No budget: the figure is for comparison.
    None,
    /// At most so much.
    AtMost { must: f64, aim: Option<f64> },
    /// At least so much.
    AtLeast { must: f64, aim: Option<f64> },
}

/// How a figure stands to its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Open,
    Aim,
    Must,
    Missed,
}

impl Budget {
    pub(crate) const fn at_most(must: f64, aim: f64) -> Self {
        Self::AtMost {
            must,
            aim: Some(aim),
        }
    }

    pub(crate) const fn at_least(must: f64, aim: f64) -> Self {
        Self::AtLeast {
            must,
            aim: Some(aim),
        }
    }

    pub(crate) fn verdict(self, value: f64) -> Verdict {
        let holds = |bound: f64| match self {
            Self::None => true,
            Self::AtMost { .. } => value <= bound,
            Self::AtLeast { .. } => value >= bound,
        };
        match self {
            Self::None => Verdict::Open,
            Self::AtMost { must, aim } | Self::AtLeast { must, aim } => {
                if !holds(must) {
                    Verdict::Missed
                } else if aim.is_some_and(holds) {
                    Verdict::Aim
                } else {
                    Verdict::Must
                }
            }
        }
    }

    /// Must and aim as text.
    fn texts(self, unit: &str) -> [String; 2] {
        let (sign, must, aim) = match self {
            Self::None => return [String::new(), String::new()],
            Self::AtMost { must, aim } => ('≤', must, aim),
            Self::AtLeast { must, aim } => ('≥', must, aim),
        };
        let text = |bound: f64| with_unit(&format!("{sign} {}", number(bound)), unit);
        [text(must), aim.map(text).unwrap_or_default()]
    }
}

struct Row {
    what: String,
    unit: &'static str,
    budget: Budget,
    value: f64,
    note: String,
}

/// The figures of one run.
#[derive(Default)]
pub(crate) struct Figures {
    rows: Vec<Row>,
    /// The command that the present figures are of.
    command: String,
}

impl Figures {
    /// Figures that come from now on are of this command.
    pub(crate) fn of(&mut self, command: impl Into<String>) {
        self.command = command.into();
        println!("# {}", self.command);
    }

    /// A figure with a budget.
    pub(crate) fn judged(
        &mut self,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        budget: Budget,
    ) {
        self.noted(what, value, unit, budget, String::new());
    }

    /// A figure without one.
    pub(crate) fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.noted(what, value, unit, Budget::None, String::new());
    }

    /// A figure with a word about it, such as its spread.
    pub(crate) fn noted(
        &mut self,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        budget: Budget,
        note: String,
    ) {
        let row = Row {
            what: what.into(),
            unit,
            budget,
            value,
            note,
        };
        let [must, aim] = budget.texts(unit);
        let said = match budget.verdict(value) {
            Verdict::Open => String::new(),
            Verdict::Aim => format!("  (aim {aim}: reached)"),
            Verdict::Must if aim.is_empty() => format!("  (must {must}: held)"),
            Verdict::Must => format!("  (must {must}: held; aim {aim}: not reached)"),
            Verdict::Missed => format!("  (must {must}: MISSED)"),
        };
        let note = if row.note.is_empty() {
            String::new()
        } else {
            format!("  [{}]", row.note)
        };
        let value = with_unit(&number(value), unit);
        println!("  {:52} {value:>18}{note}{said}", row.what);
        self.rows.push(row);
    }

    /// All figures as rows of a table in Markdown: what, must, aim, measured.
    pub(crate) fn markdown(&self) -> String {
        let mut text =
            String::from("| what | must | aim | measured |\n| --- | --- | --- | ---: |\n");
        for row in &self.rows {
            let [must, aim] = row.budget.texts(row.unit);
            let value = with_unit(&number(row.value), row.unit);
            let note = if row.note.is_empty() {
                String::new()
            } else {
                format!(" ({})", row.note)
            };
            // Writing to a string does not fail.
            let _ = writeln!(text, "| {} | {must} | {aim} | {value}{note} |", row.what);
        }
        text
    }
}

fn with_unit(number: &str, unit: &str) -> String {
    match unit {
        "" => number.to_owned(),
        "x" => format!("{number} ×"),
        _ => format!("{number} {unit}"),
    }
}

/// A number with three digits that count, or with all before the point, in groups of three.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        ..1.0 => 3,
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let (whole, part) = match text.split_once('.') {
        Some((whole, part)) => (whole, part.trim_end_matches('0')),
        None => (text.as_str(), ""),
    };
    let (sign, digits) = whole
        .strip_prefix('-')
        .map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if part.is_empty() {
        grouped
    } else {
        format!("{grouped}.{part}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_itself_holds() {
        let most = Budget::at_most(200.0, 50.0);
        for (value, verdict) in [
            (50.0, Verdict::Aim),
            (50.1, Verdict::Must),
            (200.0, Verdict::Must),
            (200.1, Verdict::Missed),
        ] {
            assert_eq!(most.verdict(value), verdict, "{value}");
        }
        let least = Budget::at_least(60.0, 85.0);
        for (value, verdict) in [
            (85.0, Verdict::Aim),
            (84.9, Verdict::Must),
            (60.0, Verdict::Must),
            (59.9, Verdict::Missed),
        ] {
            assert_eq!(least.verdict(value), verdict, "{value}");
        }
        assert_eq!(Budget::None.verdict(1e9), Verdict::Open);
        let no_aim = Budget::AtMost {
            must: 1.0,
            aim: None,
        };
        assert_eq!(no_aim.verdict(0.1), Verdict::Must);
        // What is no number holds nothing.
        assert_eq!(most.verdict(f64::NAN), Verdict::Missed);
    }

    #[test]
    fn numbers_are_short_and_grouped() {
        for (value, text) in [
            (0.0, "0"),
            (0.0441, "0.044"),
            (1.0, "1"),
            (2.345, "2.35"),
            (45.67, "45.7"),
            (104_400.4, "104,400"),
            (1_234_567.0, "1,234,567"),
            (-1_500.0, "-1,500"),
            (999.9, "1,000"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_table_has_a_row_of_every_figure() {
        let mut figures = Figures::default();
        figures.judged("count", 16.0, "us", Budget::at_most(200.0, 50.0));
        figures.add("events", 1e6, "");
        figures.noted("ratio", 1.5, "x", Budget::None, "least 1.2".to_owned());
        assert_eq!(
            figures.markdown(),
            "| what | must | aim | measured |\n| --- | --- | --- | ---: |\n\
             | count | ≤ 200 us | ≤ 50 us | 16 us |\n\
             | events |  |  | 1,000,000 |\n\
             | ratio |  |  | 1.5 × (least 1.2) |\n"
        );
    }
}
