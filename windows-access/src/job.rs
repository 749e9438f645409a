//! A process and all that it starts, ended together.

use std::io;
use std::os::windows::io::AsRawHandle;

use win32job::{ExtendedLimitInfo, Job as JobObject};

/// A job object. Dropping it ends every process in it; so does the end of this process, whatever ended it.
pub struct Job(#[expect(dead_code, reason = "it is its handle that counts")] JobObject);

impl Job {
    /// Takes in `process`, which has just been started, and with it all that it starts.
    ///
    /// # Errors
    /// The system's.
    pub fn of(process: &impl AsRawHandle) -> io::Result<Self> {
        let mut limits = ExtendedLimitInfo::new();
        limits.limit_kill_on_job_close();
        let job = JobObject::create_with_limit_info(&limits).map_err(io::Error::other)?;
        job.assign_process(process.as_raw_handle() as isize).map_err(io::Error::other)?;
        Ok(Self(job))
    }
}
