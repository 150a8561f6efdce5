//! Users of a Windows system.
#![expect(unsafe_code, reason = "the token of a process and identifiers of users are C structures")]

use std::fmt;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::{Arc, OnceLock};

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::ConvertSidToStringSidW;
use windows_sys::Win32::Security::{GetTokenInformation, PSID, TOKEN_QUERY, TOKEN_USER, TokenUser};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::check;

/// The identifier of nobody.
const NOBODY: &str = "S-1-0-0";

/// A user, as Windows knows it: a security identifier.
///
/// Users compare by identity only. The text is the identifier, such as `S-1-5-21-1-2-3-1001`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// The user that this process acts for.
    pub fn current() -> Self {
        static CURRENT: OnceLock<UserId> = OnceLock::new();
        // A process may always ask for its own user. Nobody would let such a process in.
        CURRENT.get_or_init(|| of_this_process().unwrap_or_else(|_| Self(NOBODY.into()))).clone()
    }

    /// The user behind an identifier.
    ///
    /// # Errors
    /// There is no memory for it.
    ///
    /// # Safety
    /// `sid` is valid.
    pub(super) unsafe fn from_sid(sid: PSID) -> io::Result<Self> {
        let mut text = ptr::null_mut();
        // SAFETY: the caller's promise; `text` may be written to.
        check(unsafe { ConvertSidToStringSidW(sid, &raw mut text) })?;
        let mut len = 0;
        // SAFETY: the text ends with a zero.
        while unsafe { *text.add(len) } != 0 {
            len += 1;
        }
        // SAFETY: there are so many characters before the zero.
        let copy = String::from_utf16_lossy(unsafe { std::slice::from_raw_parts(text, len) });
        // SAFETY: the call above allocated it so, and nothing uses it from here on.
        unsafe { LocalFree(text.cast()) };
        Ok(Self(copy.into()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn of_this_process() -> io::Result<UserId> {
    let mut token = ptr::null_mut();
    // SAFETY: the process's own handle needs no closing; `token` may be written to.
    check(unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) })?;
    // SAFETY: the call above opened it, for nobody else.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    // A `TOKEN_USER` with the identifier behind it, which has 68 bytes at most. Words, for their
    // alignment.
    let mut user = [0_u64; 16];
    let mut len = 0;
    // SAFETY: there are so many bytes to be written to.
    check(unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            user.as_mut_ptr().cast(),
            size_of_val(&user) as u32,
            &raw mut len,
        )
    })?;
    // SAFETY: the call wrote one, with a valid identifier that lies in `user`, too.
    unsafe { UserId::from_sid((*user.as_ptr().cast::<TOKEN_USER>()).User.Sid) }
}
