//! What a process does with the files of a directory, for the texts of errors.

/// A step in a channel's directory, which some file systems cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    Share,
    Lock,
    Listen,
    Publish,
}

/// The reason why something was not opened.
#[derive(Debug)]
pub(crate) enum Unopened {
    /// It will be the same next time; the text says what to do about it.
    Never(String),
    /// It may be otherwise a moment later.
    Now(std::io::Error),
}
