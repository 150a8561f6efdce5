//! The addon stays loaded on Windows. A worker thread that ends unloads what it alone has loaded,
//! and the background thread goes on. On Linux the linker sees to it.

use std::ptr;

use windows_sys::Win32::System::LibraryLoader::{
    GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN, GetModuleHandleExW,
};

/// From here on, until the process ends.
pub(crate) fn stay() -> napi::Result<()> {
    let flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN;
    let here = stay as *const () as *const u16;
    let mut module = ptr::null_mut();
    // SAFETY: the address is one of this module's, and the place may be written to.
    if unsafe { GetModuleHandleExW(flags, here, &raw mut module) } == 0 {
        let error = std::io::Error::last_os_error();
        return Err(napi::Error::from_reason(format!("the addon cannot stay loaded: {error}")));
    }
    Ok(())
}
