//! What `doctor` has found, and what mends it.

use serde_json::{Value, json};

use crate::output::Style;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Good to know.
    Note,
    /// It will go wrong, or is slower than it could be.
    Warning,
    /// Processes do not meet, or messages do not get through.
    Problem,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }

    /// The exit status when this is the worst.
    pub(super) fn status(self) -> u8 {
        match self {
            Self::Note => 0,
            Self::Warning => 3,
            Self::Problem => 1,
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// For programs; never changes.
    pub(super) code: &'static str,
    pub(super) what: String,
    /// The command that mends it, or the closest thing to one.
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn new(
        level: Level,
        code: &'static str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { level, code, what: what.into(), remedy: remedy.into() }
    }

    pub(super) fn text(&self, style: Style) -> String {
        let word = format!("{} {}", self.level.word(), self.code);
        let word = if self.level == Level::Note { style.dim(&word) } else { style.alarm(&word) };
        format!("{word}\n    {}\n    => {}\n", self.what, self.remedy)
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "level": self.level.word(),
            "code": self.code,
            "what": self.what,
            "remedy": self.remedy,
        })
    }
}

/// A word of a command, for a shell.
pub(super) fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_needs_it() {
        for (word, quoted) in [
            ("/run/user/0", "/run/user/0"),
            ("tea room", "'tea room'"),
            ("it's", r"'it'\''s'"),
            ("$(rm)", "'$(rm)'"),
            ("", "''"),
        ] {
            assert_eq!(shell(word), quoted);
        }
    }

    #[test]
    fn the_worst_level_comes_last_in_its_order() {
        assert!(Level::Problem > Level::Warning && Level::Warning > Level::Note);
        assert_eq!([Level::Note, Level::Warning, Level::Problem].map(Level::status), [0, 3, 1]);
    }
}
