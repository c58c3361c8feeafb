//! Small plots, drawn on the server: a line over time with what it says beside it in words. No text is in the drawing itself, which
//! is stretched to the width of the page.

use std::fmt::Write as _;

use super::markup::Markup;

/// The size of the drawing in its own units.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 100.0;

/// A line over time.
pub(super) struct Plot<'a> {
    pub(super) title: &'static str,
    /// How many seconds the plot is wide where so many were seen, and how its beginning is called then.
    pub(super) span_s: u32,
    pub(super) begin: &'static str,
    /// How it is called where less was seen: the plot is as wide as that.
    pub(super) young: &'a str,
    /// Seconds before now of each point, oldest first.
    pub(super) seconds_ago: &'a [u32],
    /// The value at each point, where there is one.
    pub(super) values: &'a [Option<f64>],
    /// Whether the plot begins at zero; else at the least value.
    pub(super) from_zero: bool,
    /// A value for people.
    pub(super) text: fn(f64) -> String,
}

impl Plot<'_> {
    /// Draws it, with its words.
    pub(super) fn draw(&self, m: &mut Markup) {
        let points: Vec<(f64, f64)> = self
            .seconds_ago
            .iter()
            .zip(self.values)
            .filter_map(|(ago, value)| Some((f64::from(*ago), (*value)?)))
            .filter(|(_, value)| value.is_finite())
            .collect();
        m.raw("<figure class=\"plot\"><figcaption><strong>")
            .raw(self.title)
            .raw("</strong> ");
        let Some((_, newest)) = points.last().copied() else {
            m.raw("nothing seen yet</figcaption></figure>\n");
            return;
        };
        let values = || points.iter().map(|(_, value)| *value);
        let (least, most) = (
            values().fold(f64::INFINITY, f64::min),
            values().fold(f64::NEG_INFINITY, f64::max),
        );
        m.raw("now ").text(&(self.text)(newest));
        m.raw(", least ").text(&(self.text)(least));
        m.raw(", most ").text(&(self.text)(most));
        m.raw("</figcaption>\n");
        let low = if self.from_zero { 0.0 } else { least };
        // A line that does not change lies on the ground, or in the middle where that is no zero.
        let height = most - low;
        let y = |value: f64| {
            let share = match (height > 0.0, self.from_zero) {
                (true, _) => (value - low) / height,
                (false, true) => 0.0,
                (false, false) => 0.5,
            };
            HEIGHT - 2.0 - share * (HEIGHT - 4.0)
        };
        let oldest = self.seconds_ago.first().copied().unwrap_or_default();
        let (span_s, begin) = if oldest < self.span_s - self.span_s / 10 {
            (oldest, self.young)
        } else {
            (self.span_s, self.begin)
        };
        let x = |ago: f64| WIDTH * (1.0 - ago / f64::from(span_s.max(1))).clamp(0.0, 1.0);
        let mut line = String::new();
        for (place, (ago, value)) in points.iter().enumerate() {
            let command = if place == 0 { 'M' } else { 'L' };
            let _ = write!(line, "{command}{:.1} {:.1}", x(*ago), y(*value));
        }
        let mut area = line.clone();
        if let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) {
            let _ = write!(area, "L{:.1} {HEIGHT}L{:.1} {HEIGHT}Z", x(*last), x(*first));
        }
        m.raw(
            "<svg viewBox=\"0 0 600 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"",
        )
        .raw(self.title)
        .raw(", from ")
        .text(begin)
        .raw(" to now\"><path class=\"area\" d=\"")
        .text(&area)
        .raw("\"/><path class=\"line\" d=\"")
        .text(&line)
        .raw("\"/></svg>\n<p class=\"axis\"><span>")
        .text(begin)
        .raw("</span><span>now</span></p></figure>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seconds_ago: &[u32], values: &[Option<f64>], from_zero: bool) -> String {
        let mut m = Markup::default();
        let plot = Plot {
            title: "Things",
            span_s: 3_600,
            begin: "1 hour ago",
            young: "the start",
            seconds_ago,
            values,
            from_zero,
            text: |value| format!("{value} things"),
        };
        plot.draw(&mut m);
        m.finish()
    }

    #[test]
    fn a_line_goes_from_its_first_point_to_now_and_is_told_in_words() {
        let page = drawn(&[3_600, 1_800, 0], &[None, Some(4.0), Some(2.0)], true);
        assert!(
            page.contains("now 2 things, least 2 things, most 4 things"),
            "{page}"
        );
        assert!(
            page.contains("class=\"line\" d=\"M300.0 2.0L600.0 50.0\""),
            "{page}"
        );
        assert!(page.contains("L600.0 100L300.0 100Z"), "{page}");
        assert!(page.contains("role=\"img\" aria-label=\"Things, from 1 hour ago to now\""));
        assert!(
            !page.contains("style="),
            "the policy of pages lets none through"
        );
    }

    #[test]
    fn what_does_not_change_is_a_straight_line_and_nothing_is_no_line() {
        let page = drawn(&[3_600, 0], &[Some(0.0), Some(0.0)], true);
        assert!(page.contains("d=\"M0.0 98.0L600.0 98.0\""), "{page}");
        let page = drawn(&[3_600, 0], &[Some(7.0), Some(7.0)], false);
        assert!(page.contains("d=\"M0.0 50.0L600.0 50.0\""), "{page}");
        for values in [&[][..], &[None], &[Some(f64::NAN)]] {
            let page = drawn(&[0], values, true);
            assert!(
                page.contains("nothing seen yet") && !page.contains("<svg"),
                "{page}"
            );
        }
        // Of a young server the plot is as wide as what was seen.
        let page = drawn(&[60, 30, 0], &[Some(1.0), Some(2.0), Some(2.0)], true);
        assert!(page.contains("M0.0 50.0L300.0 2.0L600.0 2.0\""), "{page}");
        assert!(page.contains("<span>the start</span>"), "{page}");
        // Points from before the plot's beginning stay at its edge.
        let page = drawn(&[9_000, 0], &[Some(1.0), Some(2.0)], true);
        assert!(page.contains("d=\"M0.0 50.0L600.0 2.0\""), "{page}");
    }
}
