//! A file to which commands write while they believe that they are alone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::program::Place;

/// Writes its name and token again and again, until it is let end; then ten times more. It takes
/// SIGTERM for that. The last line has `end`.
const STUBBORN: &str = "write() { echo \"$0 $OPEN_CHANNEL_TOKEN $2\" >>\"$1\" || exit 1; }; \
                        trap ': >\"$1.$0\"' TERM; \
                        while write \"$1\" go; [ ! -e \"$1.$0\" ]; do sleep 0.02; done; \
                        for i in 1 2 3 4 5 6 7 8 9 10; do write \"$1\" go; sleep 0.02; done; \
                        write \"$1\" end";

pub(crate) struct Ledger {
    path: PathBuf,
}

/// A line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    name: String,
    token: u128,
    end: bool,
}

impl Ledger {
    pub(crate) fn new(place: &Place) -> Ledger {
        Ledger { path: place.path().join("ledger") }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The words of a command that writes to it, and ends only by itself or when it is killed.
    pub(crate) fn stubborn(&self, name: &str) -> [String; 5] {
        let path = self.path.to_str().expect("UTF-8").to_owned();
        ["sh".into(), "-c".into(), STUBBORN.into(), name.into(), path]
    }

    /// Lets a command end that writes to it.
    pub(crate) fn let_end(&self, name: &str) {
        let path = self.path.with_extension(name);
        std::fs::write(path, "").expect("a file");
    }

    fn lines(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let parse = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            Line {
                name: words[0].to_owned(),
                token: words[1].parse().expect("a token"),
                end: words.get(2) == Some(&"end"),
            }
        };
        complete.lines().map(parse).collect()
    }

    /// The names in the order in which they began.
    pub(crate) fn begun(&self) -> Vec<String> {
        let mut names: Vec<String> = self.lines().into_iter().map(|line| line.name).collect();
        names.dedup();
        names
    }

    /// Waits until so many have begun; returns their names.
    pub(crate) fn wait_for_begun(&self, count: usize) -> Vec<String> {
        let started = Instant::now();
        loop {
            let begun = self.begun();
            if begun.len() >= count {
                return begun;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "only {begun:?} have begun");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Nobody wrote after the next one had begun, and the tokens grow. The number of the ends.
    #[track_caller]
    pub(crate) fn check(&self) -> usize {
        let lines = self.lines();
        for pair in lines.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            let same = before.name == after.name && before.token == after.token;
            // Each later holder has a greater token: whoever comes back after another has not.
            assert!(same || before.token < after.token, "two at a time: {pair:?} in {lines:#?}");
        }
        lines.iter().filter(|line| line.end).count()
    }
}
