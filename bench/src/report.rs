//! Figures as lines, as JSON, and as the table.

use serde_json::json;

use crate::figures::{Aim, Figure, percentile};
use crate::machine::Machine;

/// A figure with what was measured.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    figure: Figure,
    /// In the order of the runs.
    values: Vec<f64>,
    /// Load of the machine before the first run.
    load: f64,
    best: f64,
    median: f64,
}

impl Row {
    pub(crate) fn new(figure: Figure, values: Vec<f64>, load: f64) -> Self {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let best = sorted.iter().copied().reduce(|a, b| figure.aim.better(a, b)).unwrap_or_default();
        Self { figure, values, load, best, median: percentile(&sorted, 0.5) }
    }

    /// The median has to meet the target: the best run may be luck.
    pub(crate) fn is_met(&self) -> Option<bool> {
        self.figure.aim.is_met_by(self.median)
    }

    /// For people.
    pub(crate) fn line(&self) -> String {
        let Figure { id, text, unit, .. } = self.figure;
        let verdict = match self.is_met() {
            Some(true) => format!("  [met: {}]", self.target()),
            Some(false) => format!("  [MISSED: {}]", self.target()),
            None => String::new(),
        };
        let (best, median) = (shown(self.best), shown(self.median));
        format!("{id:<22} best {best:>9} median {median:>9} {unit:<6} load {:.1}{verdict}  {text}", self.load)
    }

    /// For programs.
    pub(crate) fn json(&self) -> String {
        json!({
            "figure": self.figure.id, "text": self.figure.text, "unit": self.figure.unit, "best": self.best,
            "median": self.median, "runs": self.values, "target": self.target(), "met": self.is_met(),
            "loadavg": self.load,
        })
        .to_string()
    }

    fn target(&self) -> String {
        let unit = self.figure.unit;
        match self.figure.aim {
            Aim::AtLeast(bound) => format!(">= {} {unit}", shown(bound)),
            Aim::Below(bound) => format!("< {} {unit}", shown(bound)),
            Aim::Zero => "0".to_owned(),
            Aim::High | Aim::Low => String::new(),
        }
    }
}

/// Three digits that count, thousands apart.
fn shown(value: f64) -> String {
    let digits = match value.abs() {
        0.0 | 100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        0.1.. => 3,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), ""), |(whole, rest)| (whole, rest));
    let mut out = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    if rest.is_empty() { out } else { format!("{out}.{rest}") }
}

/// The file that is committed.
pub(crate) fn table(machine: &Machine, rows: &[Row]) -> String {
    let mut out = format!(
        "# Results\n\nWritten by `mconn-bench`; [README.md](README.md) says what each figure means.\n\n\
         | | |\n|---|---|\n| date, commit | {}, {} |\n| processor | {} x {} |\n| memory | {} MiB |\n| kernel | {} |\n\
         | disk, 4 KiB write + fdatasync | p50 {:.2} ms, p99 {:.2} ms |\n\n\
         | figure | what | target | best | median | runs | load | |\n|---|---|---|---|---|---|---|---|\n",
        machine.date,
        machine.commit,
        machine.cores,
        machine.processor,
        machine.memory,
        machine.kernel,
        machine.sync.p50,
        machine.sync.p99,
    );
    for row in rows {
        let verdict = match row.is_met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        let Figure { id, text, unit, .. } = row.figure;
        out += &format!(
            "| `{id}` | {text} | {} | {} {unit} | {} {unit} | {} | {:.1} | {verdict} |\n",
            row.target(),
            shown(row.best),
            shown(row.median),
            row.values.len(),
            row.load,
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::FIGURES;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.012_345, "0.0123"),
            (0.5, "0.500"),
            (4.257, "4.26"),
            (31.26, "31.3"),
            (999.6, "1,000"),
            (1_234_567.8, "1,234,568"),
            (-1234.0, "-1,234"),
        ] {
            assert_eq!(shown(value), text);
        }
    }

    #[test]
    fn the_median_decides() {
        let figure = FIGURES[0];
        let row = Row::new(figure, vec![10_000.0, 30_000.0, 15_000.0], 0.5);
        assert_eq!(row.is_met(), Some(false));
        assert!(row.line().contains("best    30,000 median    15,000"), "{}", row.line());
        assert!(row.json().contains("\"met\":false"));
    }
}
