//! The end of the demo: the results in a table, and the verdict.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::display::grouped;
use super::ledger::Verdict;
use super::plan::Plan;

/// SHA-256 of the expected file, and of the actual one.
pub(super) struct Digests {
    input: String,
    output: String,
}

pub(super) fn compare(input: &Path, output: &Path, passes: u64) -> Result<Digests> {
    let mut expected = Sha256::new();
    for _ in 0..passes {
        digest_file(input, &mut expected)?;
    }
    let mut actual = Sha256::new();
    digest_file(output, &mut actual)?;
    Ok(Digests { input: hex(&expected.finalize()), output: hex(&actual.finalize()) })
}

fn digest_file(path: &Path, digest: &mut Sha256) -> Result<()> {
    let read = |digest: &mut Sha256| -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                length => digest.update(&buffer[..length]),
            }
        }
    };
    read(digest).with_context(|| format!("could not read {}", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn table(verdict: &Verdict, digests: &Digests, plan: &Plan) -> String {
    let mut table = String::from("\n");
    let mut row = |name: &str, value: &str, note: &str| {
        table.push_str(format!("  {name:<18}{value:>12}  {note}").trim_end());
        table.push('\n');
    };
    row("sent", &grouped(verdict.sent), "messages that the channel accepted");
    row("handled", &grouped(verdict.handled), "of these, by whoever hosted");
    row("redelivered", &grouped(verdict.redelivered), "to the next host, and marked so");
    row(
        "duplicates",
        &grouped(verdict.duplicates),
        "handled before a kill, told by their id and not counted",
    );
    if verdict.sent_twice > 0 {
        row(
            "sent twice",
            &grouped(verdict.sent_twice),
            "and handled twice: their sender was killed before it could know",
        );
    }
    row(
        "died with sender",
        &grouped(verdict.died_with_sender),
        "queued in a worker that was killed; sent anew when it came back",
    );
    row("lost", &grouped(verdict.lost), "");
    row(
        "order",
        if verdict.breach.is_none() { "ok" } else { "BROKEN" },
        verdict.breach.as_deref().unwrap_or(""),
    );
    let same = digests.input == digests.output;
    row("digest", if same { "ok" } else { "DIFFERS" }, &format!("sha256 {}", digests.output));
    let _ = write!(
        table,
        "\nchecked: that each of the {} pieces was handled, in order within its socket, and that the file\n\
         which the hosts put together from them has the digest of the input\n",
        grouped(plan.pieces())
    );
    table
}

pub(super) fn judge(verdict: &Verdict, digests: &Digests, input: &Path) -> Result<()> {
    ensure!(verdict.lost == 0, "{} messages were lost", grouped(verdict.lost));
    if let Some(breach) = &verdict.breach {
        bail!("the channel broke its promise: {breach}");
    }
    ensure!(
        digests.input == digests.output,
        "the digests differ: was {} written to while the demo ran?",
        input.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Digests, Verdict, compare, judge};

    fn digests(output: &str) -> Digests {
        Digests { input: "a".to_owned(), output: output.to_owned() }
    }

    #[test]
    fn only_a_clean_verdict_passes() {
        let input = Path::new("input");
        assert!(judge(&Verdict::default(), &digests("a"), input).is_ok());
        assert!(judge(&Verdict { lost: 1, ..Verdict::default() }, &digests("a"), input).is_err());
        let breach = Some("message 1 came twice".to_owned());
        assert!(judge(&Verdict { breach, ..Verdict::default() }, &digests("a"), input).is_err());
        assert!(judge(&Verdict::default(), &digests("b"), input).is_err());
    }

    #[test]
    fn the_digest_is_that_of_all_passes() {
        let dir = tempfile::tempdir().expect("a directory");
        let (input, output) = (dir.path().join("input"), dir.path().join("output"));
        std::fs::write(&input, "abc").expect("writing");
        std::fs::write(&output, "abcabc").expect("writing");
        let digests = compare(&input, &output, 2).expect("comparing");
        assert_eq!(digests.input, digests.output);
        let digests = compare(&input, &output, 1).expect("comparing");
        assert_ne!(digests.input, digests.output);
        assert_eq!(
            digests.input,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
