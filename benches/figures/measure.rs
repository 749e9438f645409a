//! Medians. Two things that are compared are measured in turns, so that whatever else the machine does meets both.

use std::time::{Duration, Instant};

use crate::Result;

/// How long `work` takes. To end what it started is not part of it.
fn time<T>(work: &mut impl FnMut() -> Result<T>) -> Result<Duration> {
    let began = Instant::now();
    let started = work()?;
    let took = began.elapsed();
    drop(started);
    Ok(took)
}

/// The median time of `runs`, after one that does not count.
pub(crate) fn median_time<T>(runs: usize, mut work: impl FnMut() -> Result<T>) -> Result<Duration> {
    work()?;
    let times = (0..runs).map(|_| time(&mut work)).collect::<Result<Vec<_>>>()?;
    Ok(median(times.into_iter()))
}

/// The times of `first` and `second`, in turns, after one of each that does not count.
pub(crate) fn pairs(
    runs: usize,
    mut first: impl FnMut() -> Result<()>,
    mut second: impl FnMut() -> Result<()>,
) -> Result<Vec<(Duration, Duration)>> {
    first()?;
    second()?;
    (0..runs).map(|_| Ok((time(&mut first)?, time(&mut second)?))).collect()
}

/// The middle one.
pub(crate) fn median<T: PartialOrd + Copy>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_by(|a, b| a.partial_cmp(b).expect("times and ratios can be ordered"));
    values[values.len() / 2]
}
