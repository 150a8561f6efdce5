//! Standard output and standard error, for a program that is used in pipelines.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use anyhow::Result;

/// The output has no reader any more. Not a failure: the program ends quietly.
///
/// It is a type of its own, because a broken pipe elsewhere (a channel's socket) is a failure.
#[derive(Debug)]
pub(crate) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output is closed")
    }
}

impl std::error::Error for Closed {}

/// Writes all of it, and flushes.
pub(crate) fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Closed.into(),
        _ => anyhow::Error::new(error).context("could not write to standard output"),
    })
}

/// Writes one line.
pub(crate) fn line(text: &[u8]) -> Result<()> {
    write(&[text, b"\n"].concat())
}

/// Writes one line to standard error. If that is closed, the exit status still reports the failure.
pub(crate) fn say(text: impl fmt::Display) {
    let _ = io::stderr().write_all(format!("open-channel: {text}\n").as_bytes());
}

/// Whether colours go to this stream: to a terminal that knows them, and never with `NO_COLOR`.
pub(crate) fn is_colourful(stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !set("NO_COLOR") && !dumb
}

/// How standard output shows what is out of the ordinary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    colourful: bool,
}

impl Style {
    pub(crate) fn of_stdout() -> Style {
        Style { colourful: is_colourful(&io::stdout()) }
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap(text, "2")
    }

    pub(crate) fn alarm(self, text: &str) -> String {
        self.wrap(text, "31")
    }

    fn wrap(self, text: &str, code: &str) -> String {
        if self.colourful { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}
