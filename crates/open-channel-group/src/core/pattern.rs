//! Topics and the patterns that match them, as NATS has them: tokens with dots between them, `*`
//! for any one token, `>` at the end for one or more.

use std::fmt;

use bytes::BytesMut;

use super::error::{FrameError, Refused};
use super::limits::MAX_NAME;
use super::name::Name;
use super::wire::{Reader, Wire};

/// A topic that one can publish to: tokens with dots between them, none of them empty, without
/// white space, control characters and the wildcards `*` and `>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Name);

impl Topic {
    /// A topic.
    ///
    /// # Errors
    /// When the text is not one.
    pub fn new(text: &str) -> Result<Self, Refused> {
        let invalid = |reason| Err(Refused::InvalidTopic { text: excerpt(text), reason });
        if text.contains(['*', '>']) {
            return invalid("a wildcard stands in patterns only");
        }
        if let Some(reason) = fault(text) {
            return invalid(reason);
        }
        Ok(Self(Name::new(text)?))
    }

    /// The topic as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// A topic, or one with `*` in the place of a whole token, or with `>` as its last.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(Name);

impl Pattern {
    /// A pattern.
    ///
    /// # Errors
    /// When the text is not one.
    pub fn new(text: &str) -> Result<Self, Refused> {
        let invalid = |reason| Err(Refused::InvalidTopic { text: excerpt(text), reason });
        if let Some(reason) = fault(text) {
            return invalid(reason);
        }
        for token in text.split('.') {
            if token.len() > 1 && token.contains(['*', '>']) {
                return invalid("a wildcard is a whole token");
            }
        }
        if text.rsplit('.').skip(1).any(|token| token == ">") {
            return invalid("> stands at the end only");
        }
        Ok(Self(Name::new(text)?))
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether a topic matches it.
    pub fn matches(&self, topic: &Topic) -> bool {
        let mut tokens = topic.as_str().split('.');
        for part in self.as_str().split('.') {
            match (part, tokens.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (part, Some(token)) if part == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }
}

/// The fault of a topic or pattern, wildcards aside.
fn fault(text: &str) -> Option<&'static str> {
    if text.len() > MAX_NAME {
        return Some("it is too long");
    }
    if text.split('.').any(str::is_empty) {
        return Some("a token is empty");
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Some("it has white space or control characters");
    }
    None
}

/// As much of a text as an error should show.
fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

macro_rules! wire_topic {
    ($($name:ident $what:literal,)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Wire for $name {
            fn put(&self, out: &mut BytesMut) {
                self.0.put(out);
            }

            fn take(input: &mut Reader) -> Result<Self, FrameError> {
                Self::new(Name::take(input)?.as_str()).map_err(|_| FrameError::Invalid($what))
            }
        }
    )*};
}

wire_topic! {
    Topic "topic",
    Pattern "pattern",
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may panic
mod tests {
    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(&Topic::new(topic).unwrap())
    }

    #[test]
    fn a_star_is_one_token_and_an_arrow_is_one_or_more() {
        assert!(matches("a.b", "a.b"));
        assert!(!matches("a.b", "a.c"));
        assert!(!matches("a.b", "a"));
        assert!(!matches("a", "a.b"));
        assert!(matches("a.*", "a.b"));
        assert!(!matches("a.*", "a"));
        assert!(!matches("a.*", "a.b.c"));
        assert!(matches("*.b", "a.b"));
        assert!(matches("*.*.c", "a.b.c"));
        assert!(matches("a.>", "a.b"));
        assert!(matches("a.>", "a.b.c"));
        assert!(!matches("a.>", "a"));
        assert!(matches(">", "a"));
        assert!(matches("*.>", "a.b.c"));
        assert!(!matches("*.>", "a"));
    }

    #[test]
    fn what_is_no_topic_is_refused_with_its_reason() {
        for text in ["", ".", "a.", ".a", "a..b", "a b", "a\tb", "a.*", ">", "a\u{7}"] {
            assert!(matches!(Topic::new(text), Err(Refused::InvalidTopic { .. })), "{text:?}");
        }
        for text in ["", "a.", "a*", "a.b*", ">.a", "a.>.b", "a.>>", "**", "a b"] {
            assert!(matches!(Pattern::new(text), Err(Refused::InvalidTopic { .. })), "{text:?}");
        }
        let long = "a".repeat(MAX_NAME + 1);
        assert!(Topic::new(&long).is_err() && Pattern::new(&long).is_err());
        assert!(Topic::new(&long[1..]).is_ok());
    }
}
