//! Bytes on a host's socket, by docs/PROTOCOL.md and against it.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use sha2::{Digest, Sha256};

pub(crate) const HELLO: u8 = 1;
pub(crate) const WELCOME: u8 = 2;
pub(crate) const REJECT: u8 = 3;
pub(crate) const DATA: u8 = 4;
pub(crate) const RESET: u8 = 8;
/// DATA with a whole message.
pub(crate) const WHOLE: u8 = 1 | 2;
pub(crate) const MAGIC: &[u8; 8] = b"openchan";

pub(crate) fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

pub(crate) fn frame(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend([kind, flags, 0, 0]);
    bytes.extend(body);
    bytes
}

/// A HELLO of a new socket of the channel `test`.
pub(crate) struct Hello {
    pub(crate) versions: (u16, u16),
    pub(crate) first: u64,
    pub(crate) recv_next: u64,
    pub(crate) handled: u64,
    pub(crate) generation: u64,
    pub(crate) window: u64,
    pub(crate) socket: u128,
    /// Bytes of the rings that are offered, up and down.
    pub(crate) rings: Option<(u64, u64)>,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            versions: (1, 1),
            first: 1,
            recv_next: 1,
            handled: 0,
            generation: 0,
            window: 1 << 20,
            socket: 7,
            rings: None,
        }
    }
}

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let digest = Sha256::digest(b"open-channel user\0test");
        let mut body = MAGIC.to_vec();
        body.extend(self.versions.0.to_le_bytes());
        body.extend(self.versions.1.to_le_bytes());
        body.extend([0, 0]);
        body.extend(&digest[..16]);
        body.extend(self.socket.to_le_bytes());
        let max_message = 1 << 20;
        let outbox = 1 << 20;
        let unhandled = 0;
        let (up, down) = self.rings.unwrap_or_default();
        for number in [
            self.generation,
            self.first,
            self.recv_next,
            self.handled,
            unhandled,
            self.window,
            outbox,
            max_message,
            u64::from(self.rings.is_some()),
            up,
            down,
        ] {
            body.extend(u64::to_le_bytes(number));
        }
        assert_eq!(body.len(), 134);
        if self.versions.1 >= 2 {
            body.extend(u32::to_le_bytes(0));
        }
        frame(HELLO, 0, &body)
    }
}

pub(crate) fn data(seq: u64, payload: &[u8]) -> Vec<u8> {
    frame(DATA, WHOLE, &[&seq.to_le_bytes(), payload].concat())
}

/// The next frame's kind and body; `None` at the end of the stream.
pub(crate) fn read_frame(stream: &mut UnixStream) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; 8];
    stream.read_exact(&mut header).ok()?;
    let len = u32::from_le_bytes(*header.first_chunk().unwrap());
    assert!(len <= 65_552, "a host that sends nonsense: {header:?}");
    let mut body = vec![0; len as usize];
    stream.read_exact(&mut body).ok()?;
    Some((header[4], body))
}

/// Performs the handshake; the stream then carries an attached session. Returns the welcome's body.
pub(crate) fn exchange_hello(path: &Path, hello: &Hello) -> (UnixStream, Vec<u8>) {
    let mut stream = connect(path);
    stream.write_all(&hello.encode()).unwrap();
    let (kind, body) = read_frame(&mut stream).expect("an answer");
    assert_eq!(kind, WELCOME, "{}", String::from_utf8_lossy(&body));
    (stream, body)
}

/// [`exchange_hello`] with descriptors, as many as there are, attached to the first byte.
pub(crate) fn exchange_hello_with(
    path: &Path,
    hello: &Hello,
    descriptors: &[BorrowedFd<'_>],
) -> (UnixStream, Vec<u8>) {
    let mut stream = connect(path);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(32))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(descriptors.is_empty() || ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
    let bytes = hello.encode();
    let sent =
        sendmsg(&stream, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::empty()).unwrap();
    assert_eq!(sent, bytes.len());
    let (kind, body) = read_frame(&mut stream).expect("an answer");
    assert_eq!(kind, WELCOME, "{}", String::from_utf8_lossy(&body));
    (stream, body)
}

/// Everything that comes until the other side closes, within the read timeout.
pub(crate) fn read_to_the_end(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        // Bytes that the other side did not read make the end a reset.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection was not closed: {error}"),
    }
    bytes
}
