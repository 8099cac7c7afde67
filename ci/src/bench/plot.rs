//! Horizontal bars as SVG, without a library: text, rectangles, lines.

use std::fmt::Write as _;

/// Width of the picture.
const WIDTH: f64 = 900.0;
/// Where bars begin; labels stand left of it.
const LEFT: f64 = 300.0;
/// Space for the value right of a bar.
const RIGHT: f64 = 130.0;
const ROW: f64 = 24.0;
const BAR: f64 = 15.0;
const MARGIN: f64 = 18.0;
/// Colours that differ for colour-blind readers too (Okabe, Ito 2008).
const COLOURS: [&str; 8] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999"];
const LIMIT: &str = "#b00020";

/// Rows with one scale.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Panel {
    /// What the bars show, with the unit.
    pub title: String,
    /// Names of the parts, if bars have several.
    pub legend: Vec<String>,
    /// The bars.
    pub rows: Vec<Row>,
}

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Left of the bar.
    pub label: String,
    /// Lengths of its parts; each has a colour.
    pub parts: Vec<f64>,
    /// Colour of the first part.
    pub colour: usize,
    /// Right of the bar.
    pub text: String,
    /// A line at this value.
    pub limit: Option<f64>,
}

impl Row {
    /// A bar of one part.
    pub fn bar(label: impl Into<String>, value: f64, text: impl Into<String>, colour: usize) -> Self {
        Row { label: label.into(), parts: vec![value], colour, text: text.into(), limit: None }
    }
}

/// The picture of all panels, one below the other.
pub fn svg(title: &str, panels: &[Panel]) -> String {
    let mut body = String::new();
    let mut y = MARGIN + 22.0;
    text(&mut body, MARGIN, y, "font-size=\"18\" font-weight=\"bold\"", title);
    y += 12.0;
    for panel in panels.iter().filter(|p| !p.rows.is_empty()) {
        y = draw(&mut body, panel, y + 16.0);
    }
    let height = y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"12\" fill=\"#1a1a1a\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

/// Draw a panel below `y`; gives where it ends.
fn draw(out: &mut String, panel: &Panel, mut y: f64) -> f64 {
    y += 16.0;
    text(out, MARGIN, y, "font-size=\"14\" font-weight=\"bold\"", &panel.title);
    if !panel.legend.is_empty() {
        y += 20.0;
        legend(out, &panel.legend, y);
    }
    y += 10.0;
    let longest =
        panel.rows.iter().map(|r| r.parts.iter().sum::<f64>().max(r.limit.unwrap_or(0.0))).fold(0.0, f64::max);
    let scale = if longest > 0.0 { (WIDTH - LEFT - RIGHT) / longest } else { 0.0 };
    for row in &panel.rows {
        text(out, LEFT - 10.0, y + 12.0, "text-anchor=\"end\"", &row.label);
        let mut x = LEFT;
        for (n, part) in row.parts.iter().enumerate() {
            let width = part.max(0.0) * scale;
            let colour = COLOURS[(row.colour + n) % COLOURS.len()];
            let _ = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>"
            );
            x += width;
        }
        if let Some(limit) = row.limit {
            let at = LEFT + limit * scale;
            let (from, to) = (y - 4.0, y + BAR + 4.0);
            let _ = writeln!(
                out,
                "<line x1=\"{at:.1}\" y1=\"{from:.1}\" x2=\"{at:.1}\" y2=\"{to:.1}\" stroke=\"{LIMIT}\" stroke-width=\"2\"/>"
            );
            // The value stands right of the line if that is further out.
            x = x.max(at);
        }
        text(out, x + 7.0, y + 12.0, "", &row.text);
        y += ROW;
    }
    y
}

fn legend(out: &mut String, names: &[String], y: f64) {
    let mut x = MARGIN;
    for (n, name) in names.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let _ =
            writeln!(out, "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"11\" height=\"11\" fill=\"{colour}\"/>", y - 10.0);
        text(out, x + 16.0, y, "", name);
        // Proportional letters: wide enough for the widest.
        x += 34.0 + 7.6 * name.chars().count() as f64;
    }
}

fn text(out: &mut String, x: f64, y: f64, attributes: &str, content: &str) {
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{}</text>", escaped(content));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_share_a_scale_and_stay_inside() {
        let mut short = Row::bar("a <b>", 5.0, "5 s", 0);
        short.limit = Some(10.0);
        let stacked = Row { parts: vec![2.0, 3.0], ..Row::bar("two", 0.0, "5 s", 1) };
        let panel = Panel { title: "T & U".into(), legend: vec!["x".into()], rows: vec![short, stacked] };
        let svg = svg("All", &[panel, Panel { title: "empty".into(), ..Panel::default() }]);
        let full = WIDTH - LEFT - RIGHT;
        assert!(svg.contains(&format!("width=\"{:.1}\"", full / 2.0)), "half of the limit\n{svg}");
        assert!(
            svg.contains(&format!("width=\"{:.1}\"", full * 0.2))
                && svg.contains(&format!("width=\"{:.1}\"", full * 0.3))
        );
        assert!(svg.contains(&format!("x1=\"{:.1}\"", LEFT + full)));
        assert!(svg.contains("a &lt;b&gt;") && svg.contains("T &amp; U") && !svg.contains("empty"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }

    #[test]
    fn nothing_is_no_division_by_zero() {
        let svg = svg("All", &[Panel { rows: vec![Row::bar("a", 0.0, "0", 0)], ..Panel::default() }]);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
