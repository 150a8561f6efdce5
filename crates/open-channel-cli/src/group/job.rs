//! CMD is killed when the program dies, on Windows: they are in a job that ends with the program.
#![expect(unsafe_code, reason = "jobs are made by C functions")]

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::OnceLock;

use tokio::process::Child;
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
    JobObjectExtendedLimitInformation, SetInformationJobObject,
};

use crate::output;

/// The job of this process, which has its only handle: the system closes it when the process ends,
/// and the job with it.
static JOB: OnceLock<Option<OwnedHandle>> = OnceLock::new();

/// Ties CMD to this process. CMD's own children are not.
pub(super) fn tie(child: &Child) {
    let job = JOB.get_or_init(|| new().map_err(warn).ok());
    let (Some(job), Some(child)) = (job, child.raw_handle()) else { return };
    // SAFETY: both handles are open.
    if unsafe { AssignProcessToJobObject(job.as_raw_handle(), child) } == 0 {
        warn(io::Error::last_os_error());
    }
}

fn new() -> io::Result<OwnedHandle> {
    // SAFETY: neither rights nor a name are given.
    let job = unsafe { CreateJobObjectW(ptr::null(), ptr::null()) };
    if job.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above opened it, for nobody else.
    let job = unsafe { OwnedHandle::from_raw_handle(job) };
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    limits.BasicLimitInformation.LimitFlags =
        JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK;
    // SAFETY: the job is open, and the limits are of the kind and the size that are named.
    let set = unsafe {
        SetInformationJobObject(
            job.as_raw_handle(),
            JobObjectExtendedLimitInformation,
            (&raw const limits).cast(),
            size_of_val(&limits) as u32,
        )
    };
    if set == 0 { Err(io::Error::last_os_error()) } else { Ok(job) }
}

fn warn(error: io::Error) {
    output::say(format_args!("the command will go on if this program is killed: {error}"));
}
