//! The step between the program and CMD, in CMD's process: CMD gets SIGTERM when the program dies.
//! Windows has jobs for that, see `job.rs`.
//!
//! The program cannot do it when it is killed, so the kernel does. It is a step of its own, because
//! only a process can ask for it itself.

use std::ffi::{OsStr, OsString};
use std::io;
#[cfg(target_os = "linux")]
use std::path::Path;

use tokio::process::Command;

use crate::output;

#[cfg(target_os = "linux")]
pub(crate) const COMMAND: &str = "tied-command";

/// CMD, to be started on the main thread: the kernel takes the end of the thread that starts it for
/// the end of the program.
#[cfg(target_os = "linux")]
pub(super) fn command(words: &[OsString]) -> Command {
    // It leads to the program even after an update has replaced the file.
    let program = Path::new("/proc/self/exe");
    if !program.exists() {
        return untied(words);
    }
    let mut command = Command::new(program);
    command.arg0("open-channel").arg(COMMAND).arg(std::process::id().to_string()).args(words);
    command
}

#[cfg(not(target_os = "linux"))]
pub(super) fn command(words: &[OsString]) -> Command {
    untied(words)
}

fn untied(words: &[OsString]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// Becomes CMD; returns the exit status if that fails, as a shell has it.
#[cfg(target_os = "linux")]
pub(crate) fn become_command(mut words: impl Iterator<Item = OsString>) -> u8 {
    use std::os::unix::process::CommandExt;

    use rustix::process::{Signal, getppid, set_parent_process_death_signal};

    let parent = words.next();
    let Some(program) = words.next() else { return 2 };
    let tied = set_parent_process_death_signal(Some(Signal::TERM));
    let parent_lives = getppid().map(|pid| pid.as_raw_nonzero().to_string().into()) == parent;
    if tied.is_ok() && !parent_lives {
        return 143;
    }
    let error = std::process::Command::new(&program).args(words).exec();
    not_run(&program, &error)
}

/// Says that CMD could not be run; the exit status for that.
pub(super) fn not_run(program: &OsStr, error: &io::Error) -> u8 {
    output::say(format_args!("could not run {program:?}: {error}"));
    if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}
