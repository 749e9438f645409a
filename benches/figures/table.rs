//! The table: what was measured, beside its limit.

use std::fmt;
use std::time::Duration;

/// What is measured, in its unit.
#[derive(Clone, Copy)]
pub(crate) enum Value {
    Time(Duration),
    /// Millions of bytes.
    Megabytes(f64),
    /// One thing as a multiple of another.
    Ratio(f64),
    RoundTrips(f64),
    Characters(usize),
}

impl Value {
    /// As a number, for comparison with another value of the same kind, with the digits that are shown.
    fn number(self) -> f64 {
        let (number, digits) = match self {
            Self::Time(time) => (time.as_secs_f64() * 1e3, 2),
            Self::Megabytes(number) | Self::Ratio(number) => (number, 2),
            // What is computed on both sides is in the time as well; a whole round trip more would be far outside.
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

/// One line.
struct Row {
    figure: String,
    limit: Option<Value>,
    measured: Value,
}

/// All lines, in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// A figure that must not be over `limit`.
    pub(crate) fn limited(&mut self, figure: impl Into<String>, limit: Value, measured: Value) {
        self.0.push(Row { figure: figure.into(), limit: Some(limit), measured });
    }

    /// A figure that explains another one.
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
