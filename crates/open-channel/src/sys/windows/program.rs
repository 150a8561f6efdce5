//! The programs that other processes run.
#![expect(unsafe_code, reason = "the system writes a path into a buffer of this function")]

use std::os::windows::io::AsRawHandle;
use std::path::Path;

use windows_sys::Win32::System::Threading::{
    PROCESS_NAME_WIN32, PROCESS_QUERY_LIMITED_INFORMATION, QueryFullProcessImageNameW,
};

use super::process::open;

/// Room for the longest path that the system has.
const LONGEST: usize = 1 << 15;

/// The name of the program that process `pid` runs. `None` where that cannot be known. Its script,
/// if it runs one, is not told here.
pub(crate) fn program_name(pid: u32) -> Option<String> {
    let process = open(pid, PROCESS_QUERY_LIMITED_INFORMATION).ok()?;
    let mut path = vec![0_u16; LONGEST];
    let mut len = LONGEST as u32;
    // SAFETY: the handle is open, and `path` has room for the `len` units that may be written.
    let found = unsafe {
        QueryFullProcessImageNameW(
            process.as_raw_handle(),
            PROCESS_NAME_WIN32,
            path.as_mut_ptr(),
            &mut len,
        )
    };
    let path = String::from_utf16_lossy(path.get(..len as usize).filter(|_| found != 0)?);
    Some(Path::new(&path).file_stem()?.to_str()?.to_owned())
}
