//! Standard input of Linux: a pipe that holds more.

/// What a user may ask of a pipe at most, unless the system says otherwise (pipe(7)).
const SIZE: usize = 1 << 20;

/// Lets a pipe hold 1 MiB, so that its writer and this process, with threads of its own, wait less often for each other.
/// Anything else stays as it is.
pub(crate) fn widen() {
    let _ = rustix::pipe::fcntl_setpipe_size(std::io::stdin(), SIZE);
}
