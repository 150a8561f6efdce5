//! The random names of a host's files.

use std::fmt;
use std::io;

const LOCK: &str = ".lock";
const NEW_LOCK: &str = ".new";
const SOCKET: &str = ".sock";
const PORT: &str = ".tcp";
const NEW_PORT: &str = ".tcp-new";

/// Names one host's files; random, so that nobody ever removes a successor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token(u64);

/// The purpose of one of these files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Lock,
    NewLock,
    /// It says where the process listens.
    Address,
}

impl Token {
    pub(crate) fn random() -> io::Result<Self> {
        getrandom::u64().map(Self).map_err(|error| io::Error::other(error.to_string()))
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 16)?;
        let lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if lower { u64::from_str_radix(text, 16).ok().map(Self) } else { None }
    }

    /// The token and the purpose of the file of this name, if it is one of a host's.
    pub(crate) fn of_file(name: &[u8]) -> Option<(Self, Purpose)> {
        let endings = [
            (LOCK, Purpose::Lock),
            (NEW_LOCK, Purpose::NewLock),
            (SOCKET, Purpose::Address),
            (PORT, Purpose::Address),
            (NEW_PORT, Purpose::Address),
        ];
        endings.into_iter().find_map(|(ending, purpose)| {
            let token = name.strip_suffix(ending.as_bytes()).and_then(Self::parse)?;
            Some((token, purpose))
        })
    }

    pub(crate) fn lock(self) -> String {
        format!("{self}{LOCK}")
    }

    pub(crate) fn new_lock(self) -> String {
        format!("{self}{NEW_LOCK}")
    }

    pub(crate) fn socket(self) -> String {
        format!("{self}{SOCKET}")
    }

    pub(crate) fn port(self) -> String {
        format!("{self}{PORT}")
    }

    pub(crate) fn new_port(self) -> String {
        format!("{self}{NEW_PORT}")
    }

    /// All files that say where the process listens, of which it has one.
    pub(crate) fn addresses(self) -> [String; 3] {
        [self.socket(), self.port(), self.new_port()]
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
