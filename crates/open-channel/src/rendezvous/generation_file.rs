//! A file that remembers the highest generation for longer than a channel's directory does.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use crate::error::Error;
use crate::rendezvous::directory::Privacy;
use crate::rendezvous::entries::MAX_GENERATION;
use crate::sys::{self, Unopened};

/// All digits of a `u64` and a line feed: written over the same bytes each time, which a disk
/// writes at once.
const LEN: usize = 21;

/// The highest number that is believed of the file alone; no channel counts so far in a thousand
/// years. A damaged one near the last generation would leave no room for the next host.
const HIGHEST_BELIEVED: u64 = 1 << 52;

/// The file's path, and who may write to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GenerationFile {
    path: PathBuf,
    privacy: Privacy,
}

impl GenerationFile {
    /// `path` is absolute.
    pub(crate) fn new(path: PathBuf, privacy: Privacy) -> Self {
        Self { path, privacy }
    }

    /// Opens and locks it, and reads what it remembers; `None` while another process holds its
    /// lock. Makes the file if there is none.
    ///
    /// # Errors
    /// [`Error::GenerationFile`], or [`Error::Io`] if it may be otherwise a moment later.
    pub(crate) fn lock(&self) -> Result<Option<Locked<'_>>, Error> {
        let opened = sys::open_lasting_file(&self.path);
        let file = opened.map_err(|unopened| match unopened {
            Unopened::Never(problem) => self.problem(problem),
            Unopened::Now(error) => Error::io(format!("opening {}", self.path.display()), error),
        })?;
        let fault = sys::fault_of_lasting_file(&file, self.privacy == Privacy::Shared);
        if let Some(fault) = fault.map_err(|error| self.problem(error.to_string()))? {
            return Err(self.problem(fault));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(self.problem(format!(
                    "it cannot be locked (flock): {error}: choose a path on a local file system"
                )));
            }
        }
        let mut locked = Locked { of: self, file, highest: 0 };
        locked.highest = locked.read()?;
        Ok(Some(locked))
    }

    fn problem(&self, problem: impl Into<String>) -> Error {
        Error::GenerationFile { path: self.path.clone(), problem: problem.into() }
    }
}

/// The file while this process holds its lock: nobody else reads or grows it.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    of: &'a GenerationFile,
    file: File,
    highest: u64,
}

impl Locked<'_> {
    /// The generation for a host whose directory asks for `at_least`: above all that the file
    /// remembers. It is on the disk when this returns, so that no later host gets it, whatever
    /// becomes of this one.
    pub(crate) fn grow(&mut self, at_least: u64) -> Result<u64, Error> {
        if self.highest > HIGHEST_BELIEVED && at_least <= HIGHEST_BELIEVED {
            return Err(self.of.problem(format!(
                "it holds {}, which no channel comes to (more than {HIGHEST_BELIEVED}), so it was damaged: write the \
                 last generation that was in use into it, or choose another path",
                self.highest
            )));
        }
        let generation = at_least.max(self.highest.saturating_add(1));
        if generation > MAX_GENERATION {
            return Err(self.of.problem(format!(
                "there is no generation above {MAX_GENERATION}: correct what it holds"
            )));
        }
        let written = self.write(generation);
        written.map_err(|error| self.of.problem(format!("it cannot be written: {error}")))?;
        self.highest = generation;
        Ok(generation)
    }

    fn write(&self, generation: u64) -> io::Result<()> {
        let is_new = self.file.metadata()?.len() == 0;
        sys::write_to_start(&self.file, format!("{generation:020}\n").as_bytes())?;
        // Its name has to be on the disk, too.
        match self.of.path.parent() {
            Some(parent) if is_new => sys::sync_directory(parent),
            _ => Ok(()),
        }
    }

    /// 0 of a new file.
    fn read(&self) -> Result<u64, Error> {
        let mut bytes = [0; LEN + 1];
        let len = sys::read_from_start(&self.file, &mut bytes)
            .map_err(|error| self.of.problem(format!("it cannot be read: {error}")))?;
        parse(&bytes[..len]).ok_or_else(|| {
            self.of.problem(
                "it holds something else than one decimal number: choose another path, or correct it",
            )
        })
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // A child that was forked meanwhile shares the lock, and must not hold it on.
        let _ = self.file.unlock();
    }
}

fn parse(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return Some(0);
    }
    let digits = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let digits = std::str::from_utf8(digits)
        .ok()
        .filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_decimal_number_is_read() {
        let good: [(&[u8], u64); 5] = [
            (b"", 0),
            (b"0", 0),
            (b"42\n", 42),
            (b"00000000000000000042\n", 42),
            (b"18446744073709551615\n", u64::MAX),
        ];
        for (bytes, number) in good {
            assert_eq!(parse(bytes), Some(number), "{bytes:?}");
        }
        let bad: [&[u8]; 9] = [
            b"\n",
            b"+1",
            b"-1",
            b"1 ",
            b" 1",
            b"1\n\n",
            b"0x1",
            b"18446744073709551616\n",
            b"\xff",
        ];
        for bytes in bad {
            assert_eq!(parse(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_generation_that_was_given_out_never_comes_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = GenerationFile::new(dir.path().join("generation"), Privacy::Private);
        let grow =
            |at_least| file.lock().expect("usable").expect("free").grow(at_least).expect("grown");
        assert_eq!([grow(1), grow(1), grow(7), grow(2)], [1, 2, 7, 8]);
        let mut held = file.lock().expect("usable").expect("free");
        assert!(file.lock().expect("usable").is_none(), "two hold its lock");
        assert_eq!(held.grow(MAX_GENERATION).expect("grown"), MAX_GENERATION);
        let error = held.grow(MAX_GENERATION).expect_err("there is none above").to_string();
        assert!(error.contains("there is no generation above 9007199254740991"), "{error}");
        assert_eq!(
            std::fs::read(dir.path().join("generation")).expect("there"),
            b"00009007199254740991\n"
        );
    }

    #[test]
    fn a_damaged_number_is_refused_while_there_is_room_for_the_next_host() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("generation");
        let file = GenerationFile::new(path.clone(), Privacy::Private);
        // Made as its own, which it stays when it is written over.
        drop(file.lock().expect("usable"));
        let grow = |held: &str, at_least| {
            std::fs::write(&path, held).expect("written");
            file.lock().expect("usable").expect("free").grow(at_least)
        };
        for damaged in [HIGHEST_BELIEVED + 1, MAX_GENERATION - 1, MAX_GENERATION, u64::MAX] {
            let error = grow(&damaged.to_string(), 8).expect_err("damaged").to_string();
            assert!(error.contains(&*path.to_string_lossy()), "{error}");
            assert!(
                error.contains(&format!("it holds {damaged}, which no channel comes to")),
                "{error}"
            );
            assert_eq!(
                std::fs::read_to_string(&path).expect("there"),
                damaged.to_string(),
                "it was changed"
            );
        }
        // A generation that the directory has reached as well goes on.
        let mut last = grow(&HIGHEST_BELIEVED.to_string(), 8).expect("believed");
        for _ in 0..3 {
            let next = grow(&last.to_string(), last + 1).expect("believed");
            assert_eq!(next, last + 1);
            last = next;
        }
    }
}
