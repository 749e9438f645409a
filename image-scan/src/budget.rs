//! How much work an archive may cause, by its size: an archive of a few kilobytes must not take minutes.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::limits::{WORK_OF_ANY_ARCHIVE, WORK_PER_BYTE};

/// Work that was earned by bytes read, and spent on them. The unit is one byte searched, some nanosecond.
#[derive(Default)]
pub(crate) struct Budget {
    read: AtomicU64,
    spent: AtomicU64,
}

/// The archive needs more work than its size justifies.
#[derive(Debug, Error)]
#[error(
    "it needs more work than its size justifies: it unpacks to more than {} GiB and {} times its size, or has as many \
     parts",
    WORK_OF_ANY_ARCHIVE >> 30,
    WORK_PER_BYTE
)]
struct OverBudget;

impl Budget {
    /// Adds bytes that were read from the archive as it is stored.
    fn earn(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// # Errors
    /// If more has been spent than the bytes read so far allow.
    pub(crate) fn spend(&self, work: u64) -> io::Result<()> {
        self.spent.fetch_add(work, Ordering::Relaxed);
        if self.is_exhausted() { Err(io::Error::other(OverBudget)) } else { Ok(()) }
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        let allowed = self.read.load(Ordering::Relaxed).saturating_mul(WORK_PER_BYTE);
        self.spent.load(Ordering::Relaxed) > allowed.saturating_add(WORK_OF_ANY_ARCHIVE)
    }
}

/// Earns by what is read from an archive.
pub(crate) struct Earning<'b, R> {
    input: R,
    budget: &'b Budget,
}

impl<'b, R> Earning<'b, R> {
    pub(crate) fn new(input: R, budget: &'b Budget) -> Self {
        Self { input, budget }
    }

    pub(crate) fn into_inner(self) -> R {
        self.input
    }
}

impl<R: Read> Read for Earning<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.budget.earn(length);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Earning<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.budget.earn(amount);
        self.input.consume(amount);
    }
}
