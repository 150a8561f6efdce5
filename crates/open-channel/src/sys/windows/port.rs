//! TCP ports that nobody else listens on.
#![expect(unsafe_code, reason = "an option of a socket is set by a C function")]

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::windows::io::AsRawSocket;

use socket2::{Domain, Protocol, Socket, Type};
use windows_sys::Win32::Networking::WinSock::{SO_EXCLUSIVEADDRUSE, SOL_SOCKET, setsockopt};

/// Connections that may wait to be accepted: as many as a large herd of processes starting at once.
const BACKLOG: i32 = 1024;

/// Listens on a free TCP port of this address. Windows would let another program listen there, too,
/// if that wants to.
pub(crate) fn listen_on(address: IpAddr) -> io::Result<TcpListener> {
    let address = SocketAddr::new(address, 0);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    be_alone(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn be_alone(socket: &Socket) -> io::Result<()> {
    let yes = 1_i32;
    // SAFETY: the socket is open, and the value is of the size that is named.
    let set = unsafe {
        setsockopt(
            socket.as_raw_socket() as usize,
            SOL_SOCKET,
            SO_EXCLUSIVEADDRUSE,
            (&raw const yes).cast(),
            size_of_val(&yes) as i32,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
