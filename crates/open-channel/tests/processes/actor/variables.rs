//! Variables of the environment with which a test sets up another process.

/// `commands`, or the name of a scene in [`lifetime`](crate::lifetime) or [`fork`](crate::fork).
pub(crate) const TASK: &str = "OPEN_CHANNEL_TEST_ACTOR";
/// `current` for a runtime of one thread.
pub(crate) const RUNTIME: &str = "OPEN_CHANNEL_TEST_RUNTIME";
/// Set for a process that prints the library's log.
pub(crate) const LOG: &str = "OPEN_CHANNEL_TEST_LOG";

/// The control group to run in.
pub(crate) const GROUP: &str = "OPEN_CHANNEL_TEST_GROUP";
/// Options of a small file system to mount on `OPEN_CHANNEL_TEST_DISK_AT`, seen by this process
/// only.
pub(crate) const DISK: &str = "OPEN_CHANNEL_TEST_DISK";
pub(crate) const DISK_AT: &str = "OPEN_CHANNEL_TEST_DISK_AT";
/// A process whose file systems this one sees.
pub(crate) const NEIGHBOUR: &str = "OPEN_CHANNEL_TEST_NEIGHBOUR";
/// The user to run as.
pub(crate) const USER: &str = "OPEN_CHANNEL_TEST_USER";
/// The umask, in octal digits.
pub(crate) const UMASK: &str = "OPEN_CHANNEL_TEST_UMASK";
/// Set for a process that SIGPIPE ends, as it does in programs that are not written in Rust.
pub(crate) const SIGPIPE: &str = "OPEN_CHANNEL_TEST_SIGPIPE";
/// The system calls that the kernel denies this process, see [`denial`](super::denial).
pub(crate) const DENIED: &str = "OPEN_CHANNEL_TEST_DENIED";
