//! How many tests ran: the sum over the `test result:` lines of every test program.

use std::fmt;
use std::ops::AddAssign;

/// The reports of the test programs, summed. Its display is the closing line of `cargo xtask test`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Totals {
    /// Reads one line of a test program's output; any line but the result line says nothing.
    ///
    /// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in
    /// 0.01s`
    ///
    /// Node's runner closes with `ℹ pass 12` and `ℹ fail 0`, on two lines.
    pub(crate) fn from_line(line: &str) -> Option<Totals> {
        if let Some(count) = line.trim_start().strip_prefix("ℹ ") {
            let number = |word: &str| count.strip_prefix(word)?.trim().parse::<u64>().ok();
            return match (number("pass "), number("fail ")) {
                (Some(passed), _) => Some(Totals { passed, failed: 0 }),
                (_, Some(failed)) => Some(Totals { passed: 0, failed }),
                _ => None,
            };
        }
        // A test that prints without a final newline may leave its text in front of the result.
        let (_, counts) = line.split_once("test result: ")?;
        let (_, counts) = counts.split_once(". ")?;
        let count = |word: &str| {
            counts
                .split(';')
                .find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<u64>().ok())
        };
        Some(Totals { passed: count("passed")?, failed: count("failed")? })
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::Totals;

    #[test]
    fn a_result_line_is_counted() {
        let line = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(Totals::from_line(line), Some(Totals { passed: 12, failed: 0 }));
        let line = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(Totals::from_line(line), Some(Totals { passed: 3, failed: 2 }));
    }

    #[test]
    fn the_closing_lines_of_nodes_runner_are_counted() {
        assert_eq!(Totals::from_line("ℹ pass 11\n"), Some(Totals { passed: 11, failed: 0 }));
        assert_eq!(Totals::from_line("ℹ fail 2"), Some(Totals { passed: 0, failed: 2 }));
        assert_eq!(Totals::from_line("ℹ tests 13"), None);
    }

    #[test]
    fn other_lines_say_nothing() {
        for line in [
            "",
            "test result",
            "test result: ",
            "running 3 tests",
            "test a ... ok",
            "3 passed; 1 failed",
        ] {
            assert_eq!(Totals::from_line(line), None, "{line:?}");
        }
    }

    #[test]
    fn the_closing_line_has_one_form() {
        let mut totals = Totals::default();
        totals += Totals { passed: 5, failed: 0 };
        totals += Totals { passed: 2, failed: 1 };
        assert_eq!(totals.to_string(), "7 passed, 1 failed");
    }
}
