//! Core limit 0, which COMMAND inherits, and PR_SET_DUMPABLE 0 (prctl(2)), which it does not.

use rustix::process::{Resource, Rlimit, setrlimit};

pub(super) fn this_process() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}
