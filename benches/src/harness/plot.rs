//! Curves as SVG files. Drawn by `plotters` with nothing but its writer of SVG, which adds three small crates; text is
//! measured roughly there, and the viewer's fonts draw it.

use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;

use crate::{Outcome, Result};

/// The most points of a curve: more than that no screen shows, and files stay small.
const POINTS_MAX: usize = 200;

/// One curve.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Curve {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            points: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, x: f64, y: f64) {
        self.points.push((x, y));
    }
}

/// Several curves over the same axes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) curves: &'a [Curve],
}

impl Plot<'_> {
    /// Writes the plot to `DIR/NAME.svg`.
    pub(crate) fn write(&self, dir: &Path, name: &str) -> Outcome {
        std::fs::create_dir_all(dir)?;
        let path = dir.join(name).with_extension("svg");
        std::fs::write(&path, self.svg()?)?;
        println!("  plot: {}", path.display());
        Ok(())
    }

    /// The plot as SVG.
    fn svg(&self) -> Result<String> {
        let mut text = String::new();
        {
            let root = SVGBackend::with_string(&mut text, (760, 420)).into_drawing_area();
            root.fill(&WHITE)?;
            let (across, up) = bounds(self.curves);
            let mut chart = ChartBuilder::on(&root)
                .caption(self.title, ("sans-serif", 17))
                .margin(12)
                .margin_right(24)
                .x_label_area_size(42)
                .y_label_area_size(64)
                .build_cartesian_2d(across, up)?;
            chart
                .configure_mesh()
                .x_desc(self.x)
                .y_desc(self.y)
                .x_labels(9)
                .y_labels(9)
                .light_line_style(TRANSPARENT)
                .draw()?;
            for (place, curve) in self.curves.iter().enumerate() {
                let color = Palette99::pick(place).to_rgba();
                let points = thinned(&curve.points);
                chart
                    .draw_series(LineSeries::new(points, color.stroke_width(2)))?
                    .label(curve.name.as_str())
                    .legend(move |(x, y)| {
                        PathElement::new(vec![(x, y), (x + 18, y)], color.stroke_width(2))
                    });
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.3))
                .draw()?;
            root.present()?;
        }
        Ok(text)
    }
}

/// The axes: from 0 to where all points are inside, never empty.
fn bounds(curves: &[Curve]) -> (Range<f64>, Range<f64>) {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let most = |of: fn(&(f64, f64)) -> f64| {
        points()
            .map(of)
            .filter(|v| v.is_finite())
            .fold(0.0, f64::max)
    };
    let (x, y) = (most(|point| point.0), most(|point| point.1));
    let end = |most: f64, room: f64| if most > 0.0 { most * room } else { 1.0 };
    (0.0..end(x, 1.0), 0.0..end(y, 1.2))
}

/// At most [`POINTS_MAX`] of the points, evenly, the first and the last among them; those that are no numbers are left out.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let points: Vec<_> = points
        .iter()
        .copied()
        .filter(|(x, y)| x.is_finite() && y.is_finite())
        .collect();
    if points.len() <= POINTS_MAX {
        return points;
    }
    let last = points.len() - 1;
    (0..POINTS_MAX)
        .filter_map(|n| points.get(n * last / (POINTS_MAX - 1)).copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(name: &str, points: &[(f64, f64)]) -> Curve {
        Curve {
            name: name.to_owned(),
            points: points.to_vec(),
        }
    }

    #[test]
    fn all_points_are_within_the_axes() {
        let curves = [
            curve("a", &[(1.0, 2.0), (5.0, 1.0)]),
            curve("b", &[(3.0, 40.0), (f64::NAN, f64::INFINITY)]),
        ];
        let (x, y) = bounds(&curves);
        assert_eq!(x, 0.0..5.0);
        assert!(y.start == 0.0 && y.end > 40.0 && y.end < 50.0, "{y:?}");
    }

    #[test]
    fn axes_without_points_are_not_empty() {
        for curves in [&[][..], &[Curve::new("a")], &[curve("a", &[(0.0, 0.0)])]] {
            assert_eq!(bounds(curves), (0.0..1.0, 0.0..1.0));
        }
    }

    #[test]
    fn a_long_curve_keeps_its_ends() {
        let points: Vec<_> = (0..10_001).map(|n| (f64::from(n), 1.0)).collect();
        let kept = thinned(&points);
        assert_eq!(kept.len(), POINTS_MAX);
        assert_eq!(kept.first(), Some(&(0.0, 1.0)));
        assert_eq!(kept.last(), Some(&(10_000.0, 1.0)));
        assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(thinned(&points[..50]).len(), 50);
    }

    #[test]
    fn a_plot_names_its_curves_and_axes_and_is_small() {
        let points: Vec<_> = (0..5_000)
            .map(|n| (f64::from(n), f64::from(n % 97)))
            .collect();
        let curves = [
            curve("first curve", &points),
            curve("second <curve>", &points),
        ];
        let plot = Plot {
            title: "growth & more",
            x: "hours",
            y: "GiB",
            curves: &curves,
        };
        let svg = plot.svg().unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for text in [
            "first curve",
            "second &lt;curve&gt;",
            "growth &amp; more",
            "hours",
            "GiB",
        ] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(svg.matches("<polyline").count() >= 2);
        assert!(svg.len() < 40_000, "{}", svg.len());
    }
}
