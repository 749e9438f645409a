//! Ends a process together with all processes that it starts.

use std::io;
use std::os::windows::io::RawHandle;

use win32job::{ExtendedLimitInfo, Job as JobObject};

/// A job object. Dropping it ends every process in it; so does the end of this process, whatever ended it.
pub struct Job(JobObject);

impl Job {
    /// Puts `process`, which has just been started, into a new job, and with it all that it starts.
    ///
    /// # Errors
    /// Those of the system.
    pub fn of(process: RawHandle) -> io::Result<Self> {
        let mut limits = ExtendedLimitInfo::new();
        limits.limit_kill_on_job_close();
        let job = JobObject::create_with_limit_info(&limits).map_err(io::Error::other)?;
        job.assign_process(process as isize).map_err(io::Error::other)?;
        Ok(Self(job))
    }

    /// Releases all processes in the job: what a process left running on purpose keeps running.
    pub fn release(self) {
        // Without this limit, closing the handle ends no process. If it fails, they end, which is the safe side.
        let _ = self.0.set_extended_limit_info(&ExtendedLimitInfo::new());
    }
}
