/// The default of the maximum for users, /proc/sys/fs/pipe-max-size (pipe(7)).
const SIZE: usize = 1 << 20;

/// Makes the pipe hold 1 MiB, so that its writer and this process wait less often for each other. Does nothing if standard
/// input is not a pipe.
pub(crate) fn widen() {
    let _ = rustix::pipe::fcntl_setpipe_size(std::io::stdin(), SIZE);
}
