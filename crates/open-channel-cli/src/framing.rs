//! Where one message ends and the next begins, in a stream of bytes.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

/// Longer than anything meant as one message, so that `< /dev/zero` does not fill the memory.
pub(crate) const LONGEST: usize = 16 * 1024 * 1024;

/// Messages read ahead of the channel. The outbox is the real queue, so a few are enough.
const READ_AHEAD: usize = 64;

/// Key of a message that is text.
const MESSAGE: &str = "message";

/// Bytes of a length.
const PREFIX: usize = 4;

/// How messages follow each other on standard input and output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Framing {
    /// One line each; a message with a newline in it becomes several lines
    #[default]
    Lines,
    /// A zero byte after each, as `find -print0` has it
    Nul,
    /// Its length before each, as 4 bytes, the highest first; for any bytes
    Length,
    /// One JSON value in a line each; what is no JSON is shown as a string, or in hexadecimal
    Json,
}

impl Framing {
    /// The message as it is written.
    pub(crate) fn encode(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Lines => [message, b"\n"].concat(),
            Self::Nul => [message, b"\0"].concat(),
            Self::Length => {
                let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
                [&length.to_be_bytes(), message].concat()
            }
            Self::Json => [&*json_line(message), b"\n"].concat(),
        }
    }

    /// The next message; `None` at the end.
    fn next(self, input: &mut impl BufRead) -> Result<Option<Bytes>> {
        match self {
            Self::Lines => until(input, b'\n', LONGEST),
            Self::Nul => until(input, 0, LONGEST),
            Self::Length => prefixed(input, LONGEST),
            Self::Json => {
                let line = until(input, b'\n', LONGEST)?;
                if let Some(line) = &line {
                    serde_json::from_slice::<Value>(line)
                        .with_context(|| format!("a line is no JSON: {}", beginning(line)))?;
                }
                Ok(line)
            }
        }
    }

    /// The messages in `input`.
    ///
    /// A thread of its own reads them, so that an idle terminal cannot prevent the program from
    /// ending.
    pub(crate) fn read(self, input: impl Read + Send + 'static) -> mpsc::Receiver<Result<Bytes>> {
        let (messages, receiver) = mpsc::channel(READ_AHEAD);
        std::thread::spawn(move || {
            let mut input = BufReader::new(input);
            loop {
                let message = match self.next(&mut input).transpose() {
                    None => return,
                    Some(message) => message.context("could not read the input"),
                };
                let failed = message.is_err();
                if messages.blocking_send(message).is_err() || failed {
                    return;
                }
            }
        });
        receiver
    }
}

/// Up to the next `end`, which the last one may lack.
fn until(input: &mut impl BufRead, end: u8, longest: usize) -> Result<Option<Bytes>> {
    let mut message = Vec::new();
    // One byte for the end, and one more to distinguish a message of exactly the limit from a
    // longer one.
    let read = input.take(longest as u64 + 1).read_until(end, &mut message)?;
    if read == 0 {
        return Ok(None);
    }
    if message.last() == Some(&end) {
        message.pop();
    } else if message.len() > longest {
        bail!("a message is longer than {longest} bytes: split it");
    }
    Ok(Some(message.into()))
}

fn prefixed(input: &mut impl BufRead, longest: usize) -> Result<Option<Bytes>> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut prefix = [0; PREFIX];
    input.read_exact(&mut prefix).context("it ends in the middle of a length")?;
    let length = u32::from_be_bytes(prefix) as usize;
    ensure!(
        length <= longest,
        "a message of {length} bytes is announced, more than {longest}: is each length 4 bytes, \
         the highest first?"
    );
    let mut message = Vec::new();
    input.take(length as u64).read_to_end(&mut message)?;
    ensure!(message.len() == length, "it ends in the middle of a message");
    Ok(Some(message.into()))
}

/// The message as one line of JSON.
fn json_line(message: &[u8]) -> Cow<'_, [u8]> {
    if serde_json::from_slice::<Value>(message).is_ok() {
        // Between its words only: a string has none.
        let spaced = message.iter().map(|&byte| if byte < b' ' { b' ' } else { byte });
        return spaced.collect();
    }
    let value = match text_or_hex(message) {
        (MESSAGE, text) => Value::from(text),
        (key, hex) => serde_json::json!({ key: hex }),
    };
    value.to_string().into_bytes().into()
}

/// A message in JSON, and the key for it: as text if it is that, else in hexadecimal.
pub(crate) fn text_or_hex(message: &[u8]) -> (&'static str, String) {
    match std::str::from_utf8(message) {
        Ok(text) => (MESSAGE, text.to_owned()),
        Err(_) => ("hex", message.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

/// Enough of a line to find it.
fn beginning(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned();
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(framing: Framing, mut input: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let mut messages = Vec::new();
        while let Some(message) = framing.next(&mut input).map_err(|error| format!("{error:#}"))? {
            messages.push(message.to_vec());
        }
        Ok(messages)
    }

    fn bytes(texts: &[&[u8]]) -> Result<Vec<Vec<u8>>, String> {
        Ok(texts.iter().map(|text| text.to_vec()).collect())
    }

    #[test]
    fn each_line_is_one_message() {
        assert_eq!(all(Framing::Lines, b"one\n\nthree"), bytes(&[b"one", b"", b"three"]));
        assert_eq!(all(Framing::Lines, b"\xff\x00\n"), bytes(&[b"\xff\x00"]));
        assert_eq!(all(Framing::Lines, b""), Ok(vec![]));
        assert_eq!(all(Framing::Nul, b"a\nb\0\0c"), bytes(&[b"a\nb", b"", b"c"]));
    }

    #[test]
    fn a_message_may_be_as_long_as_the_limit_and_no_longer() {
        let lines =
            |input: &[u8]| until(&mut &input[..], b'\n', 5).map(|message| message.is_some());
        assert_eq!(lines(b"12345\n").ok(), Some(true));
        assert!(lines(b"123456\n").is_err());
        let lengths = |input: &[u8]| prefixed(&mut &input[..], 5).map(|message| message.is_some());
        assert_eq!(lengths(b"\0\0\0\x0512345").ok(), Some(true));
        assert!(lengths(b"\0\0\0\x06123456").is_err());
    }

    #[test]
    fn with_lengths_any_bytes_come_through() {
        let every: Vec<u8> = (0..=255).collect();
        let stream = [&every[..], b"", b"\0\n"].map(|message| Framing::Length.encode(message));
        assert_eq!(all(Framing::Length, &stream.concat()), bytes(&[&every, b"", b"\0\n"]));
        for (input, problem) in [
            (&b"\0\0"[..], "in the middle of a length"),
            (b"\0\0\0\x05abc", "in the middle of a message"),
            (b"\xff\xff\xff\xffabc", "more than 16777216"),
            (b"hello\n", "the highest first?"),
        ] {
            let error = all(Framing::Length, input).expect_err("it is no frame");
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn json_is_one_value_in_a_line_whatever_the_message_is() {
        let line = |message: &[u8]| {
            String::from_utf8(Framing::Json.encode(message)).expect("JSON is text")
        };
        assert_eq!(line(b"{\"a\":\n [1,\r\n1.50]}"), "{\"a\":  [1,  1.50]}\n");
        assert_eq!(line(b"two\nlines"), "\"two\\nlines\"\n");
        assert_eq!(line(b"\xff\x00"), "{\"hex\":\"ff00\"}\n");
        assert_eq!(line(b""), "\"\"\n");
        assert_eq!(all(Framing::Json, b"{\"a\":1}\n\"x\"\n"), bytes(&[b"{\"a\":1}", b"\"x\""]));
        let error = all(Framing::Json, b"1\nhello\n").expect_err("it is no JSON");
        assert!(error.contains("no JSON: \"hello\""), "{error}");
    }
}
