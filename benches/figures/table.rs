//! The table of measured values and their limits.

use std::fmt;
use std::time::Duration;

/// A measured value with its unit.
#[derive(Clone, Copy)]
pub(crate) enum Value {
    Time(Duration),
    /// Millions of bytes.
    Megabytes(f64),
    /// One value divided by another.
    Ratio(f64),
    RoundTrips(f64),
    Characters(usize),
}

impl Value {
    /// As a number for comparison with another value of the same unit, rounded to the digits that are shown.
    fn number(self) -> f64 {
        let (number, digits) = match self {
            Self::Time(time) => (time.as_secs_f64() * 1e3, 2),
            Self::Megabytes(number) | Self::Ratio(number) => (number, 2),
            // One digit, since the time includes computation on both sides; a further round trip would still be visible.
            Self::RoundTrips(number) => (number, 1),
            Self::Characters(number) => (number as f64, 0),
        };
        let scale = 10f64.powi(digits);
        (number * scale).round() / scale
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number();
        match self {
            Self::Time(_) => write!(f, "{number:.2} ms"),
            Self::Megabytes(_) => write!(f, "{number:.2} MB"),
            Self::Ratio(_) => write!(f, "{number:.2} ×"),
            Self::RoundTrips(_) => write!(f, "{number:.1}"),
            Self::Characters(_) => write!(f, "{number}"),
        }
    }
}

/// One row.
struct Row {
    figure: String,
    limit: Option<Value>,
    measured: Value,
}

/// All rows, in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// Adds a figure with a limit.
    pub(crate) fn limited(&mut self, figure: impl Into<String>, limit: Value, measured: Value) {
        self.0.push(Row { figure: figure.into(), limit: Some(limit), measured });
    }

    /// Adds a figure without a limit, which explains another one.
    pub(crate) fn noted(&mut self, figure: impl Into<String>, measured: Value) {
        self.0.push(Row { figure: figure.into(), limit: None, measured });
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| figure | limit | measured | |\n|---|--:|--:|---|")?;
        for Row { figure, limit, measured } in &self.0 {
            match limit {
                None => writeln!(f, "| {figure} | | {measured} | |")?,
                Some(limit) => {
                    let verdict = if measured.number() <= limit.number() { "ok" } else { "**over**" };
                    writeln!(f, "| {figure} | {limit} | {measured} | {verdict} |")?;
                }
            }
        }
        Ok(())
    }
}
