//! The tables that the gauntlet prints: the attacks one by one, and the figures with their limits.

use std::fmt;
use std::time::Duration;

use super::good_clients::Prints;

/// A measured value, or its limit.
#[derive(Clone, Copy)]
pub(super) enum Value {
    Bytes(u64),
    Count(u64),
    Time(Duration),
    /// One value divided by another.
    Ratio(f64),
    PerSecond(f64),
}

/// What a value must be.
#[derive(Clone, Copy)]
pub(super) enum Limit {
    AtMost(Value),
    AtLeast(Value),
}

impl Value {
    /// As a number for comparison with another value of the same unit. Times and ratios are rounded to the digits that are
    /// shown.
    fn number(self) -> f64 {
        match self {
            Self::Bytes(bytes) => bytes as f64,
            Self::Count(count) => count as f64,
            Self::Time(time) => (time.as_secs_f64() * 1e4).round() / 10.0,
            Self::Ratio(ratio) => (ratio * 100.0).round() / 100.0,
            Self::PerSecond(rate) => rate.round(),
        }
    }

    /// Whether it is the same on a busy machine.
    fn is_exact(self) -> bool {
        matches!(self, Self::Bytes(_) | Self::Count(_))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number();
        match self {
            Self::Bytes(_) if number.abs() < 1e5 => write!(f, "{:.1} KB", number / 1e3),
            Self::Bytes(_) => write!(f, "{:.2} MB", number / 1e6),
            Self::Count(_) => write!(f, "{number}"),
            Self::Time(_) => write!(f, "{number:.1} ms"),
            Self::Ratio(_) => write!(f, "{number:.2} ×"),
            Self::PerSecond(_) => write!(f, "{number}/s"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(value) => write!(f, "≤ {value}"),
            Self::AtLeast(value) => write!(f, "≥ {value}"),
        }
    }
}

impl Limit {
    fn holds(self, measured: Value) -> bool {
        match self {
            Self::AtMost(limit) => measured.number() <= limit.number(),
            Self::AtLeast(limit) => measured.number() >= limit.number(),
        }
    }
}

struct Row {
    figure: String,
    measured: Value,
    limit: Option<Limit>,
}

/// All that was measured.
pub(crate) struct Table {
    /// Whether only bytes and counts are judged.
    exact_only: bool,
    rows: Vec<Row>,
    /// One line for each attack.
    attacks: Vec<String>,
    remarks: Vec<String>,
    skips: Vec<Skipped>,
}

/// Attacks that this machine cannot run.
pub(crate) struct Skipped {
    pub(crate) attacks: &'static str,
    /// What they need, as for `cargo xtask test --allow-skip`.
    pub(crate) need: &'static str,
    pub(crate) reason: String,
}

impl Table {
    pub(super) fn new(exact_only: bool) -> Self {
        Self { exact_only, rows: Vec::new(), attacks: Vec::new(), remarks: Vec::new(), skips: Vec::new() }
    }

    /// Adds a figure with its limit.
    pub(super) fn limited(&mut self, figure: impl Into<String>, measured: Value, limit: Limit) {
        self.add(figure.into(), measured, Some(limit));
    }

    /// Adds a figure without a limit, which explains another one.
    pub(super) fn noted(&mut self, figure: impl Into<String>, measured: Value) {
        self.add(figure.into(), measured, None);
    }

    fn add(&mut self, figure: String, measured: Value, limit: Option<Limit>) {
        let row = Row { figure, measured, limit };
        eprintln!("    {}: {} ({})", row.figure, row.measured, row.verdict(self.exact_only));
        self.rows.push(row);
    }

    /// Adds a line to the table of attacks. `load` is what the attackers did, in two cells.
    pub(super) fn attack(&mut self, name: &str, memory: u64, prints: &Prints, load: &str) {
        let cells = format!(
            "{name} | {} | {} of {} | {} | {} | {load}",
            Value::Bytes(memory),
            prints.failed,
            prints.times.len(),
            Value::Time(prints.quantile(500)),
            Value::Time(prints.quantile(990)),
        );
        eprintln!("    {cells}");
        if let Some(error) = &prints.first_error {
            eprintln!("    a `print` failed: {error}");
        }
        self.attacks.push(cells);
    }

    /// Adds a sentence below the tables.
    pub(super) fn remark(&mut self, text: impl Into<String>) {
        let text = text.into();
        eprintln!("    {text}");
        self.remarks.push(text);
    }

    /// Adds attacks that did not run.
    pub(super) fn skip(&mut self, skipped: Skipped) {
        self.remark(format!("skipped: {}: {}", skipped.attacks, skipped.reason));
        self.skips.push(skipped);
    }

    /// Attacks that did not run.
    pub(crate) fn skips(&self) -> &[Skipped] {
        &self.skips
    }

    /// How many figures are within their limits.
    pub(crate) fn within(&self) -> u64 {
        self.rows.iter().filter(|row| row.verdict(self.exact_only) == "ok").count() as u64
    }

    /// How many figures are over their limits.
    pub(crate) fn over(&self) -> u64 {
        self.rows.iter().filter(|row| row.verdict(self.exact_only) == "**over**").count() as u64
    }
}

impl Row {
    fn verdict(&self, exact_only: bool) -> &'static str {
        match self.limit {
            None => "",
            Some(_) if exact_only && !self.measured.is_exact() => "not judged",
            Some(limit) if limit.holds(self.measured) => "ok",
            Some(_) => "**over**",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.attacks.is_empty() {
            writeln!(
                f,
                "| attack | memory above idle | prints failed | p50 | p99 | connections | turned away |"
            )?;
            writeln!(f, "|---|--:|--:|--:|--:|--:|--:|")?;
            self.attacks.iter().try_for_each(|cells| writeln!(f, "| {cells} |"))?;
            writeln!(f)?;
        }
        writeln!(f, "| figure | measured | limit | |\n|---|--:|--:|---|")?;
        for row in &self.rows {
            let limit = row.limit.map(|limit| limit.to_string()).unwrap_or_default();
            writeln!(
                f,
                "| {} | {} | {limit} | {} |",
                row.figure,
                row.measured,
                row.verdict(self.exact_only)
            )?;
        }
        if !self.remarks.is_empty() {
            writeln!(f)?;
        }
        self.remarks.iter().try_for_each(|remark| writeln!(f, "- {remark}"))
    }
}

/// The upper median; 0 for no values.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
