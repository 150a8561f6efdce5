//! The file that says on which TCP port a host listens, and the secret to prove knowledge of.
//!
//! Whatever is in it, and whatever stands in its place, comes from somebody else until it is
//! checked.

use std::io;

use crate::error::Error;
use crate::link::tcp::{Address, Identity, SECRET_LEN, Secret};
use crate::rendezvous::directory::ChannelDir;
use crate::rendezvous::entries::remove;
use crate::rendezvous::token::Token;
use crate::sys::Step;

const HEADING: &str = "open-channel tcp 1";
/// Above the longest content, which has an address of version 6.
const MAX_LEN: usize = 192;

/// Publishes where the process of this token listens. The file appears with its whole content.
///
/// # Errors
/// No room on the disk, or none for a file; it may be otherwise a moment later.
pub(crate) fn publish(dir: &ChannelDir, token: Token, address: &Address) -> Result<(), Error> {
    let new = token.new_port();
    // One that was left half-written, if this is not the first attempt.
    remove(dir, &new);
    let put = dir.files().put(&new, &token.port(), &text(address));
    put.map_err(|error| {
        remove(dir, &new);
        dir.failed(Step::Create, error)
    })
}

/// Where the process of this token listens; `None` if it has no such file.
///
/// # Errors
/// The file cannot be what that process has published.
pub(crate) fn read(dir: &ChannelDir, token: Token) -> io::Result<Option<Address>> {
    let invalid = |problem: String| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} {problem}", token.port()))
    };
    let mut bytes = [0; MAX_LEN];
    let read = dir.files().read_own(&token.port(), &mut bytes);
    let Some(len) = read.map_err(|error| invalid(error.to_string()))? else { return Ok(None) };
    if len == MAX_LEN {
        return Err(invalid("is too long".into()));
    }
    parse(&bytes[..len]).map(Some).ok_or_else(|| invalid("holds no port and secret".into()))
}

fn text(address: &Address) -> String {
    let secret: String = address.secret().as_bytes().iter().map(|b| format!("{b:02x}")).collect();
    let (socket, Identity { process, namespace }) = (address.socket(), address.host());
    format!("{HEADING}\n{socket}\n{process} {namespace}\n{secret}\n")
}

fn parse(bytes: &[u8]) -> Option<Address> {
    let text = std::str::from_utf8(bytes).ok()?;
    let [HEADING, socket, host, secret, ""] = text.split('\n').collect::<Vec<_>>()[..] else {
        return None;
    };
    let (process, namespace) = host.split_once(' ')?;
    let host = Identity { process: process.parse().ok()?, namespace: namespace.parse().ok()? };
    Address::new(socket.parse().ok()?, host, Secret::new(decode(secret)?))
}

fn decode(digits: &str) -> Option<[u8; SECRET_LEN]> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.len() != 2 * SECRET_LEN || !digits.bytes().all(lower) {
        return None;
    }
    let mut bytes = [0; SECRET_LEN];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}
