//! Bars over time, as SVG that needs nothing else.

use crate::output::html::escaped;

/// Of one plot.
pub(super) struct Bar {
    pub(super) value: f64,
    /// What a pointer on it is told.
    pub(super) title: String,
    pub(super) is_bad: bool,
}

/// Of the drawing; it is stretched over the page, and what is written stands outside of it.
const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 100.0;

/// Bars from the left to the right, the highest as high as the plot. `said`: a value in words.
pub(super) fn bars(bars: &[Bar], begin: &str, end: &str, said: impl Fn(f64) -> String) -> String {
    let most = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let step = WIDTH / (bars.len().max(1) as f64);
    let mut svg = format!(
        "<p class=\"soft ends\"><span>{}</span></p>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\">\n",
        escaped(said(most))
    );
    for (at, bar) in bars.iter().enumerate() {
        // What is there is seen, however small.
        let height = if most > 0.0 { (bar.value / most * HEIGHT).max(1.0) } else { 1.0 };
        let class = if bar.is_bad { " class=\"bad\"" } else { "" };
        svg.push_str(&format!(
            "<rect{class} x=\"{:.2}\" y=\"{:.2}\" width=\"{:.2}\" height=\"{height:.2}\"><title>{}</title></rect>\n",
            at as f64 * step,
            HEIGHT - height,
            (step * 0.8).min(40.0),
            escaped(&bar.title)
        ));
    }
    svg.push_str(&format!("</svg>\n<p class=\"soft ends\"><span>{}</span><span>{}</span></p>\n", escaped(begin), escaped(end)));
    svg
}
