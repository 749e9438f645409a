//! Decoders that keep tens of megabytes take turns.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Lets one decoder at a time have a window of more than [`crate::limits::SMALL_WINDOW`].
#[derive(Default)]
pub(crate) struct LargeMemory {
    holder: Mutex<Option<Owner>>,
    freed: Condvar,
}

/// What a decoder unpacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A whole archive: it keeps its window until the end of the scan.
    Archive,
    Blob,
}

/// Returned when it is dropped.
pub(crate) struct Permit<'m>(&'m LargeMemory);

impl LargeMemory {
    /// Waits until no other blob has a large window.
    ///
    /// # Errors
    /// If the archive around the blob has one.
    pub(crate) fn acquire(&self, owner: Owner) -> io::Result<Permit<'_>> {
        let mut holder = self.lock();
        loop {
            match *holder {
                None => {
                    *holder = Some(owner);
                    return Ok(Permit(self));
                }
                Some(Owner::Archive) => {
                    return Err(io::Error::other(
                        "it needs too much memory inside a compressed archive; unpack the archive first",
                    ));
                }
                Some(Owner::Blob) => {
                    holder = self.freed.wait(holder).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Owner>> {
        // It is consistent after a panic: each change is one assignment.
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
        self.0.freed.notify_one();
    }
}
