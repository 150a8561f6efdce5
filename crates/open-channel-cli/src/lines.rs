//! The lines of standard input as messages.

use std::io::{self, BufRead, Read};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::sync::mpsc;

/// Longer than any line meant as one message, so that `< /dev/zero` does not fill the memory.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// Lines read ahead of the channel. The outbox is the real queue, so a few are enough.
const READ_AHEAD: usize = 64;

/// Lines of standard input, without their newline. Any bytes are fine.
///
/// A thread of its own reads them, so that an idle terminal cannot prevent the program from ending.
pub(crate) fn from_stdin() -> mpsc::Receiver<Result<Bytes>> {
    let (lines, receiver) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let line = match next_line(&mut stdin, LONGEST_LINE).transpose() {
                None => return,
                Some(line) => line,
            };
            let failed = line.is_err();
            if lines.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

fn next_line(input: &mut impl BufRead, longest: u64) -> Result<Option<Bytes>> {
    let mut line = Vec::new();
    // One byte for the newline, and one more to distinguish a line of exactly the limit from a
    // longer one.
    let read = input
        .take(longest + 1)
        .read_until(b'\n', &mut line)
        .context("could not read standard input")?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 > longest {
        bail!("a line of standard input is longer than {longest} bytes: split it");
    }
    Ok(Some(line.into()))
}

#[cfg(test)]
mod tests {
    use super::next_line;

    fn all(mut input: &[u8], longest: u64) -> Result<Vec<Vec<u8>>, String> {
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut input, longest).map_err(|error| error.to_string())? {
            lines.push(line.to_vec());
        }
        Ok(lines)
    }

    #[test]
    fn each_line_is_one_message() {
        assert_eq!(all(b"one\n\nthree", 10), Ok(vec![b"one".to_vec(), vec![], b"three".to_vec()]));
        assert_eq!(all(b"\xff\x00\n", 10), Ok(vec![vec![0xff, 0]]));
        assert_eq!(all(b"", 10), Ok(vec![]));
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        assert_eq!(all(b"12345\n12345", 5).map(|lines| lines.len()), Ok(2));
        assert!(all(b"123456\n", 5).is_err());
    }
}
