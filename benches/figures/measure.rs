//! Medians. Two things that are compared are measured alternately, so that other load on the machine affects both.

use std::time::{Duration, Instant};

use crate::Result;

/// How long `work` takes, without dropping its result: that ends what it started.
fn time<T>(work: &mut impl FnMut() -> Result<T>) -> Result<Duration> {
    let began = Instant::now();
    let started = work()?;
    let took = began.elapsed();
    drop(started);
    Ok(took)
}

/// The median time of `runs`, after one warm-up run.
pub(crate) fn median_time<T>(runs: usize, mut work: impl FnMut() -> Result<T>) -> Result<Duration> {
    work()?;
    let times = (0..runs).map(|_| time(&mut work)).collect::<Result<Vec<_>>>()?;
    Ok(median(times.into_iter()))
}

/// The times of `first` and `second`, alternately, after one warm-up run of each.
pub(crate) fn pairs(
    runs: usize,
    mut first: impl FnMut() -> Result<()>,
    mut second: impl FnMut() -> Result<()>,
) -> Result<Vec<(Duration, Duration)>> {
    first()?;
    second()?;
    (0..runs).map(|_| Ok((time(&mut first)?, time(&mut second)?))).collect()
}

/// The upper median.
pub(crate) fn median<T: PartialOrd + Copy>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_by(|a, b| a.partial_cmp(b).expect("times and ratios can be ordered"));
    values[values.len() / 2]
}
