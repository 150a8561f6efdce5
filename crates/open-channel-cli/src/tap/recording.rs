//! The file of a recording: lines of JSON, the first of which says what it is. `docs/RECORDING.md`
//! describes it.

use std::io::{BufRead, Read, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::seen::Seen;
use super::target::{Kind, kind_from, word};
use crate::framing::text_or_hex;

/// The key and the version in the first line.
const KEY: &str = "open-channel-recording";
const VERSION: u64 = 1;

/// Longest line: the longest message that is recorded, in hexadecimal, and its head.
const LONGEST_LINE: u64 = (512 << 20) + 4096;
/// Nothing goes on for thirty years.
const LATEST: Duration = Duration::from_secs(1_000_000_000);

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) name: String,
}

impl Head {
    pub(super) fn line(&self) -> String {
        json!({ KEY: VERSION, "kind": word(self.kind), "name": self.name }).to_string()
    }
}

/// The line of a message.
pub(super) fn line(seen: &Seen) -> String {
    let tapped = &seen.tapped;
    let mut object = json!({
        "at": u64::try_from(seen.at.as_micros()).unwrap_or(u64::MAX),
        "direction": seen.direction(),
        "pid": Some(tapped.pid).filter(|&pid| pid != 0),
        "socket": tapped.socket.to_string(),
        "attempt": tapped.attempt,
    });
    if let Some(described) = &seen.described {
        object["act"] = described.act.word().into();
        object["name"] = described.name.clone().into();
    }
    let (key, text) = text_or_hex(&seen.payload);
    object[key] = text.into();
    object.to_string()
}

/// The line for something else that has happened.
pub(super) fn note(what: &str) -> String {
    json!({ "note": what }).to_string()
}

/// A message that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) at: Duration,
    pub(super) to_host: bool,
    /// Of a channel: messages of one socket keep their order.
    pub(super) socket: String,
    /// Of a group.
    pub(super) act: Option<String>,
    pub(super) name: Option<String>,
    pub(super) payload: Vec<u8>,
}

/// A recording that is read.
pub(super) struct Reader<R> {
    input: R,
    pub(super) head: Head,
    /// The line that was read last, from 1.
    number: u64,
    latest: Duration,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line.
    pub(super) fn begin(mut input: R) -> Result<Self> {
        const NO_RECORDING: &str = "line 1: this is no recording of `open-channel record`";
        let first = next_line(&mut input, 1, 4096 + 1024).context(NO_RECORDING)?;
        let first = first.context(NO_RECORDING)?;
        let object = parse(&first, 1).context(NO_RECORDING)?;
        let version = object.get(KEY).and_then(Value::as_u64).context(NO_RECORDING)?;
        ensure!(
            version == VERSION,
            "line 1: this is a recording of version {version}, and this program reads version \
             {VERSION}: install a newer one"
        );
        let text = |key| object.get(key).and_then(Value::as_str);
        let kind = text("kind").and_then(kind_from);
        let kind = kind.context("line 1: `kind` is neither \"channel\" nor \"group\"")?;
        let name = text("name").context("line 1: `name` is missing")?.to_owned();
        let head = Head { kind, name };
        Ok(Self { input, head, number: 1, latest: Duration::ZERO })
    }

    /// The next message; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Recorded>> {
        loop {
            self.number += 1;
            let number = self.number;
            let Some(line) = next_line(&mut self.input, number, LONGEST_LINE)? else {
                return Ok(None);
            };
            let object = parse(&line, number)?;
            if object.contains_key("note") {
                continue;
            }
            let recorded = recorded(&object, self.head.kind)
                .with_context(|| format!("line {number} is no message"))?;
            ensure!(
                recorded.at >= self.latest && recorded.at < LATEST,
                "line {number}: `at` goes back, or is too late"
            );
            self.latest = recorded.at;
            return Ok(Some(recorded));
        }
    }
}

fn next_line(input: &mut impl BufRead, number: u64, longest: u64) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = input.take(longest).read_until(b'\n', &mut line);
    let read = read.with_context(|| format!("could not read line {number}"))?;
    if read == 0 {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        if read as u64 == longest {
            bail!("line {number} is longer than any message");
        }
        bail!(
            "line {number} is cut off: the recording was interrupted. Without its last line \
             (`head -n -1`) the rest can be replayed"
        );
    }
    Ok(Some(line))
}

fn parse(line: &[u8], number: u64) -> Result<Map<String, Value>> {
    match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => bail!("line {number} is no JSON object"),
        Err(error) => bail!("line {number} is no JSON: {error}"),
    }
}

fn recorded(object: &Map<String, Value>, kind: Kind) -> Result<Recorded> {
    let text = |key| object.get(key).and_then(Value::as_str);
    let at =
        object.get("at").and_then(Value::as_u64).context("`at` is no number of microseconds")?;
    let to_host = match text("direction") {
        Some("to-host") => true,
        Some("from-host") => false,
        _ => bail!("`direction` is neither \"to-host\" nor \"from-host\""),
    };
    let payload = match (text("message"), text("hex")) {
        (Some(text), None) => text.as_bytes().to_vec(),
        (None, Some(hex)) => unhex(hex).context("`hex` is not hexadecimal")?,
        _ => bail!("it has neither `message` nor `hex`, or both"),
    };
    let act = text("act").map(ToOwned::to_owned);
    ensure!(act.is_some() == (kind == Kind::Group), "`act` is for groups, and only for them");
    Ok(Recorded {
        at: Duration::from_micros(at),
        to_host,
        socket: text("socket").context("`socket` is missing")?.to_owned(),
        act,
        name: text("name").map(ToOwned::to_owned),
        payload,
    })
}

fn unhex(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
    let even = digits.len().is_multiple_of(2);
    even.then(|| digits.chunks_exact(2).map(byte).collect())?
}

/// Writes a line at once, so that what is there is whole whenever the program ends.
pub(super) fn write_line(file: &mut impl Write, line: &str) -> std::io::Result<()> {
    file.write_all(format!("{line}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "{\"open-channel-recording\":1,\"kind\":\"channel\",\"name\":\"room\"}\n";

    fn all(text: &[u8]) -> Result<Vec<Recorded>, String> {
        let mut all = Vec::new();
        let read = || -> Result<()> {
            let mut reader = Reader::begin(text)?;
            while let Some(recorded) = reader.next()? {
                all.push(recorded);
            }
            Ok(())
        };
        let mut read = read;
        read().map_err(|error| format!("{error:#}"))?;
        Ok(all)
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let message = "{\"at\":5,\"direction\":\"to-host\",\"socket\":\"s\",\"message\":\"tea\"}\n";
        let good = [HEAD, message, "{\"note\":\"3 messages are missing\"}\n", message].concat();
        assert_eq!(all(good.as_bytes()).expect("a recording").len(), 2);
        for (text, words) in [
            (String::new(), "line 1: this is no recording"),
            ("hello\n".into(), "line 1: this is no recording"),
            ("x".repeat(100_000), "line 1: this is no recording"),
            ("{\"open-channel-recording\":2}\n".into(), "of version 2"),
            (HEAD.replace("channel\",", "thing\","), "`kind` is neither"),
            (HEAD.trim_end().into(), "is cut off"),
            ([HEAD, message.trim_end()].concat(), "line 2 is cut off"),
            ([HEAD, &message[..20], "\n"].concat(), "line 2 is no JSON"),
            ([HEAD, "[]\n"].concat(), "line 2 is no JSON object"),
            ([HEAD, message, &message.replace('5', "4")].concat(), "line 3: `at` goes back"),
            ([HEAD, &message.replace('5', "-5")].concat(), "`at` is no number"),
            ([HEAD, &message.replace('5', &u64::MAX.to_string())].concat(), "too late"),
            ([HEAD, &message.replace("to-host", "up")].concat(), "`direction` is neither"),
            ([HEAD, &message.replace("message", "hex")].concat(), "`hex` is not hexadecimal"),
            (
                [HEAD, &message.replace("\"message\":\"tea\"", "\"x\":1")].concat(),
                "neither `message`",
            ),
            ([HEAD, &message.replace("socket", "x")].concat(), "`socket` is missing"),
            ([HEAD, &message.replace('}', ",\"act\":\"call\"}")].concat(), "`act` is for groups"),
        ] {
            let error = all(text.as_bytes()).expect_err(words);
            assert!(error.contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_come_back_as_they_were() {
        let every: Vec<u8> = (0..=255).collect();
        let hex: String = every.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(unhex(&hex), Some(every));
        assert_eq!((unhex("abc"), unhex("zz"), unhex("é")), (None, None, None));
    }
}
