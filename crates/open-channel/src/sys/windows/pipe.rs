//! Named pipes: this user's alone, and only from this machine.
#![expect(unsafe_code, reason = "a pipe with an access list is made by a C function")]

use std::io;
use std::os::windows::io::{
    AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, IntoRawHandle, OwnedHandle,
};
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer};
use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_NO_DATA, ERROR_PIPE_NOT_CONNECTED, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, PIPE_ACCESS_DUPLEX,
    SECURITY_IDENTIFICATION,
};
use windows_sys::Win32::System::Pipes::{
    CreateNamedPipeW, GetNamedPipeClientProcessId, GetNamedPipeServerProcessId, PIPE_READMODE_BYTE,
    PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE, PIPE_UNLIMITED_INSTANCES, PIPE_WAIT,
};

use super::security::{Access, Descriptor, Object};
use super::user::UserId;
use super::{check, wide};

/// Bytes that a pipe holds in each direction.
const BUFFER: u32 = 64 << 10;

/// An instance of a pipe for one client. No runtime watches it yet.
#[derive(Debug)]
pub(crate) struct PipeInstance(OwnedHandle);

/// Whether a pipe of this name is made, or another instance of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instance {
    First,
    Next,
}

impl PipeInstance {
    /// Clients can connect to it from here on.
    ///
    /// # Errors
    /// There is a pipe of that name already; others are the system's.
    pub(crate) fn new(name: &str, instance: Instance) -> io::Result<Self> {
        let (name, descriptor) = (wide(name)?, Descriptor::private()?);
        let first = match instance {
            Instance::First => FILE_FLAG_FIRST_PIPE_INSTANCE,
            Instance::Next => 0,
        };
        // SAFETY: the name ends with a zero, and the descriptor lives as long as the call.
        let pipe = unsafe {
            CreateNamedPipeW(
                name.as_ptr(),
                PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | first,
                PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
                PIPE_UNLIMITED_INSTANCES,
                BUFFER,
                BUFFER,
                0,
                &descriptor.attributes(),
            )
        };
        if pipe == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call above opened it, for nobody else.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(pipe) }))
    }

    /// With the present runtime.
    ///
    /// # Errors
    /// The runtime's.
    pub(crate) fn watch(self) -> io::Result<NamedPipeServer> {
        // SAFETY: it is the handle of a pipe, made for overlapped calls, and nobody else has it.
        unsafe { NamedPipeServer::from_raw_handle(self.0.into_raw_handle()) }
    }
}

/// Whether a client has connected and gone before the server looked.
pub(crate) fn has_left(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ERROR_NO_DATA as i32)
}

/// Whether the other side has closed its end.
fn is_gone(error: &io::Error) -> bool {
    let gone = [ERROR_BROKEN_PIPE, ERROR_NO_DATA, ERROR_PIPE_NOT_CONNECTED];
    error.raw_os_error().is_some_and(|code| gone.contains(&code.cast_unsigned()))
}

/// A connected end of a pipe, with the runtime that opened it.
#[derive(Debug)]
pub(crate) enum PipeStream {
    Server(NamedPipeServer),
    Client(NamedPipeClient),
}

/// Calls the same method on either end.
macro_rules! either {
    ($pipe:expr, $end:ident => $call:expr) => {
        match $pipe {
            PipeStream::Server($end) => $call,
            PipeStream::Client($end) => $call,
        }
    };
}

impl PipeStream {
    /// Opens the client's end. The server may find out who this user is, and not act as it.
    ///
    /// # Errors
    /// The system's: 231 while all instances are taken.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        ClientOptions::new()
            .security_qos_flags(SECURITY_IDENTIFICATION)
            .open(name)
            .map(Self::Client)
    }

    /// The process and the user on the other side.
    ///
    /// The pipe of a server belongs to its user: nobody else can make one that does. A client is of
    /// the same user as its server, because the pipe lets nobody else in.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn peer(&self) -> io::Result<(Option<u32>, UserId)> {
        let mut process = 0;
        let (handle, place) = (self.as_handle(), &raw mut process);
        let user = match self {
            Self::Server(_) => {
                // SAFETY: the pipe is open, and the place may be written to.
                check(unsafe { GetNamedPipeClientProcessId(handle.as_raw_handle(), place) })?;
                UserId::current()
            }
            Self::Client(_) => {
                // SAFETY: as above.
                check(unsafe { GetNamedPipeServerProcessId(handle.as_raw_handle(), place) })?;
                Access::of(handle, Object::Pipe)?.owner
            }
        };
        Ok((Some(process).filter(|&process| process != 0), user))
    }

    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<()> {
        either!(self, end => end.ready(interest).await.map(drop))
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, end => end.poll_read_ready(cx))
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, end => end.poll_write_ready(cx))
    }

    /// Reads into `buffer`; 0 means that the other side is gone.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) while there is nothing; others are the system's.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, end => end.try_read(buffer))
    }

    /// Writes all of it, or nothing while an earlier write has not ended.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if it wrote nothing; others are the system's.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, end => end.try_write(bytes))
    }

    /// Writes all of it, or nothing while an earlier write has not ended.
    ///
    /// If the other side is gone, there is no room: reads say so, behind everything that it wrote.
    /// A write knows it sooner.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if it wrote nothing; others are the system's.
    pub(super) fn try_write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match either!(self, end => end.try_write_vectored(slices)) {
            Err(error) if is_gone(&error) => {
                let no_room = || Err(io::ErrorKind::WouldBlock.into());
                // The runtime is told, too, and wakes nobody for room.
                either!(self, end => end.try_io(Interest::WRITABLE, no_room))
            }
            written => written,
        }
    }
}

impl AsHandle for PipeStream {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        either!(self, end => end.as_handle())
    }
}
