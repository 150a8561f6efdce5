//! Who may use an object: security descriptors.
#![expect(unsafe_code, reason = "security descriptors and access lists are C structures")]

use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle};
use std::ptr;

use windows_sys::Win32::Foundation::{GENERIC_ALL, GENERIC_WRITE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo, SDDL_REVISION_1,
    SE_FILE_OBJECT, SE_KERNEL_OBJECT, SE_OBJECT_TYPE,
};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACE_HEADER, ACL, DACL_SECURITY_INFORMATION, GetAce,
    OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES,
};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_APPEND_DATA, FILE_DELETE_CHILD, FILE_WRITE_DATA, WRITE_DAC, WRITE_OWNER,
};
use windows_sys::Win32::System::SystemServices::{ACCESS_ALLOWED_ACE_TYPE, ACCESS_DENIED_ACE_TYPE};

use super::user::UserId;
use super::{check, wide};

/// The system, its administrators, and whoever makes or owns the object. The former could do
/// everything anyway; the latter is the user, which is checked.
const TRUSTED: [&str; 4] = ["S-1-5-18", "S-1-5-32-544", "S-1-3-0", "S-1-3-4"];

/// Rights with which a file can be changed.
const TO_WRITE: u32 = FILE_WRITE_DATA
    | FILE_APPEND_DATA
    | FILE_DELETE_CHILD
    | DELETE
    | WRITE_DAC
    | WRITE_OWNER
    | GENERIC_WRITE
    | GENERIC_ALL;

/// The kinds of objects that are asked who may use them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    File,
    Pipe,
}

impl Object {
    fn kind(self) -> SE_OBJECT_TYPE {
        match self {
            Self::File => SE_FILE_OBJECT,
            Self::Pipe => SE_KERNEL_OBJECT,
        }
    }
}

/// Rights that others may have without being a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    Nothing,
    Reading,
}

/// The owner and the access list of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) owner: UserId,
    /// Somebody other than the user and the system has rights, and which.
    pub(super) other: Option<(String, u32)>,
}

impl Access {
    /// # Errors
    /// The handle has no right to know, or the object has no such thing.
    pub(super) fn of(handle: BorrowedHandle<'_>, object: Object) -> io::Result<Self> {
        let (mut owner, mut list): (PSID, *mut ACL) = (ptr::null_mut(), ptr::null_mut());
        let mut descriptor = Descriptor(ptr::null_mut());
        let wanted = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
        // SAFETY: the handle is open; the places may be written to, and those that are null are not.
        let status = unsafe {
            GetSecurityInfo(
                handle.as_raw_handle(),
                object.kind(),
                wanted,
                &raw mut owner,
                ptr::null_mut(),
                &raw mut list,
                ptr::null_mut(),
                &raw mut descriptor.0,
            )
        };
        if status != 0 {
            return Err(io::Error::from_raw_os_error(status.cast_signed()));
        }
        if owner.is_null() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "it has no owner"));
        }
        // SAFETY: both lie in `descriptor`, which lives to the end of this function.
        unsafe { Ok(Self { owner: UserId::from_sid(owner)?, other: other_in(list)? }) }
    }

    /// Why others than the user can use it, if they can.
    pub(super) fn fault(&self, others: Others) -> Option<String> {
        let user = UserId::current();
        if self.owner != user && !TRUSTED.contains(&self.owner.as_str()) {
            let owner = &self.owner;
            return Some(format!("it belongs to user {owner}, not to this process's user {user}"));
        }
        let (other, rights) = self.other.as_ref()?;
        match others {
            Others::Reading if rights & TO_WRITE == 0 => None,
            Others::Reading => Some(format!("its access list lets {other} write to it")),
            Others::Nothing => Some(format!("its access list lets {other} in")),
        }
    }
}

/// The first entry that gives rights to somebody other than the user and the system, with the
/// rights of all such entries.
///
/// # Safety
/// The list is valid, or null: then everybody may do everything.
unsafe fn other_in(list: *const ACL) -> io::Result<Option<(String, u32)>> {
    if list.is_null() {
        return Ok(Some(("everybody".into(), u32::MAX)));
    }
    let mut found: Option<(String, u32)> = None;
    // SAFETY: the caller's promise.
    for index in 0..u32::from(unsafe { (*list).AceCount }) {
        let mut entry = ptr::null_mut();
        // SAFETY: the list is valid, and `entry` may be written to.
        check(unsafe { GetAce(list, index, &raw mut entry) })?;
        // SAFETY: each entry begins with such a header.
        let kind = u32::from(unsafe { (*entry.cast::<ACE_HEADER>()).AceType });
        if kind == ACCESS_DENIED_ACE_TYPE {
            continue;
        }
        let (who, rights) = if kind == ACCESS_ALLOWED_ACE_TYPE {
            let entry = entry.cast::<ACCESS_ALLOWED_ACE>();
            // SAFETY: an entry of this type has its rights there, and its identifier behind them.
            unsafe {
                let user = UserId::from_sid((&raw mut (*entry).SidStart).cast())?;
                (user.as_str().to_owned(), (*entry).Mask)
            }
        } else {
            (format!("somebody by an entry of type {kind}"), u32::MAX)
        };
        if who == UserId::current().as_str() || TRUSTED.contains(&who.as_str()) || rights == 0 {
            continue;
        }
        found = Some(match found {
            None => (who, rights),
            Some((first, before)) => (first, before | rights),
        });
    }
    Ok(found)
}

/// A security descriptor that the system allocated.
#[derive(Debug)]
pub(super) struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    /// Everything for the user of this process and whatever is made inside, nothing for others.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn private() -> io::Result<Self> {
        let user = UserId::current();
        let text = wide(format!("O:{user}D:P(A;OICI;FA;;;{user})"))?;
        let mut descriptor = Self(ptr::null_mut());
        // SAFETY: the text ends with a zero; the place may be written to.
        check(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor.0,
                ptr::null_mut(),
            )
        })?;
        Ok(descriptor)
    }

    /// For a call that makes an object, while this lives. No child process inherits it.
    pub(super) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: self.0,
            bInheritHandle: 0,
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the system allocated it so, or it is null, which is ignored.
        unsafe { LocalFree(self.0.cast()) };
    }
}
