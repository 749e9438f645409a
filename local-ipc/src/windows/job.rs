//! A process and all that it starts, ended together.

use std::io;
use std::os::windows::io::RawHandle;

use win32job::{ExtendedLimitInfo, Job as JobObject};

/// A job object. Dropping it ends every process in it; so does the end of this process, whatever ended it.
pub struct Job(JobObject);

impl Job {
    /// Takes in `process`, which has just been started, and with it all that it starts.
    ///
    /// # Errors
    /// The system's.
    pub fn of(process: RawHandle) -> io::Result<Self> {
        let mut limits = ExtendedLimitInfo::new();
        limits.limit_kill_on_job_close();
        let job = JobObject::create_with_limit_info(&limits).map_err(io::Error::other)?;
        job.assign_process(process as isize).map_err(io::Error::other)?;
        Ok(Self(job))
    }

    /// Lets go of all that is in it: what a process left behind on purpose stays.
    pub fn release(self) {
        // Without the limit, that the handle is closed means nothing. If it fails, they end, which is the safe side.
        let _ = self.0.set_extended_limit_info(&ExtendedLimitInfo::new());
    }
}
