//! Masks secrets in COMMAND's output.
//!
//! COMMAND writes into pipes. What is read from them is masked and handed to an [`Outlet`](outlet::Outlet) for each output
//! of this process. What COMMAND wrote before it ended is passed on however long that takes. Other processes that still have
//! the pipes open get [`LINGER`] to end. Then `exec` ends, and what they write is discarded.

use std::io;
use std::time::Duration;

use leaks::MaskStream;
use tokio::sync::oneshot;
use tracing::warn;

mod outlet;

#[cfg_attr(unix, path = "output/unix.rs")]
#[cfg_attr(windows, path = "output/windows.rs")]
mod platform;

pub(crate) use platform::MaskedOutput;
#[cfg(unix)]
pub use platform::discard_to_end;

/// The first characters of a secret are held back until nothing more came for this long, if they are too few to tell. A prompt
/// that ends with them is not delayed noticeably.
const HOLD_TIME: Duration = Duration::from_millis(20);

/// How long output waits for earlier output to the other stream, so that both appear in the order in which they were written.
/// An output that takes nothing for longer does not hold up the other one.
const ORDER_TIME: Duration = Duration::from_millis(20);

/// How long output is passed on after COMMAND has ended, if other processes have its pipes open: the rest of a pipeline or of a
/// `> >(tee log)` ends a moment later than the shell that started it. A daemon does not end, and must not keep the step waiting.
const LINGER: Duration = Duration::from_secs(1);

/// Written in place of a secret.
const REPLACEMENT: &[u8] = b"***";

/// Bytes per read: the capacity of a pipe on Linux.
const BUFFER_SIZE: usize = 64 << 10;

/// What became of COMMAND's output.
#[derive(Default)]
struct PassedOn {
    /// The first error of writing it. That a reader has closed its end is none.
    failure: Option<io::Error>,
    /// Pipes that other processes have open.
    #[cfg(unix)]
    left_open: Vec<io::PipeReader>,
}

/// Waits for the thread that passes on output.
async fn outcome(thread: oneshot::Receiver<PassedOn>) -> PassedOn {
    thread.await.unwrap_or_else(|_| {
        warn!("a part of COMMAND's output may be missing");
        PassedOn::default()
    })
}

/// What is left to write at the end of a stream. If that is the beginning of a secret, nothing will show how it would have gone
/// on: of a COMMAND that was killed while it wrote a secret, nothing from the sixth character on is shown.
fn end_of(mask: &mut MaskStream) -> Vec<u8> {
    let (mut shown, mut rest) = (Vec::new(), Vec::new());
    mask.release_short(&mut shown);
    mask.finish(&mut rest);
    if !rest.is_empty() {
        shown.extend_from_slice(REPLACEMENT);
        shown.extend(rest.ends_with(b"\n").then_some(b'\n'));
    }
    shown
}
