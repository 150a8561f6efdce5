//! CMD for as long as a lock is held.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Result;
use open_channel_group::LockGuard;

use super::command::{Purpose, Running};
use crate::interrupt::{Interrupted, asked_to_stop};

/// What is run for a lock.
pub(super) struct Held<'a> {
    pub(super) purpose: Purpose<'a>,
    /// After this time CMD is killed, if it was asked to stop and has not.
    pub(super) grace: Option<Duration>,
}

/// How it ended.
pub(super) enum End {
    Ended(ExitStatus),
    /// The lock is lost, and CMD has ended if it had begun.
    Lost(Option<ExitStatus>),
    /// The program was asked to stop, and CMD has ended.
    Asked(Interrupted),
}

impl Held<'_> {
    /// Runs CMD once. The kernel holds the lock until CMD has ended, whatever happens.
    pub(super) async fn run(&self, guard: &LockGuard) -> Result<End> {
        let Some(mut running) = self.start(guard)? else { return Ok(End::Lost(None)) };
        tokio::select! {
            status = running.wait() => Ok(End::Ended(status?)),
            () = guard.lost() => {
                running.signal(15);
                Ok(End::Lost(Some(self.end(&mut running).await?)))
            }
            signal = asked_to_stop() => {
                running.pass_on(signal);
                self.end(&mut running).await?;
                Ok(End::Asked(signal))
            }
        }
    }

    async fn end(&self, running: &mut Running) -> Result<ExitStatus> {
        match self.grace {
            Some(grace) => running.end_within(grace).await,
            None => running.wait().await,
        }
    }

    /// Nothing if the lock is lost already.
    fn start(&self, guard: &LockGuard) -> Result<Option<Running>> {
        let mut command = self.purpose.command();
        command.env("OPEN_CHANNEL_TOKEN", guard.token().number().to_string());
        #[cfg(unix)]
        let Some(inherited) = inheritable(guard)? else { return Ok(None) };
        let running = Running::start(self.purpose.words, command);
        #[cfg(unix)]
        drop(inherited);
        running.map(Some)
    }
}

/// The lock as a descriptor that the next child inherits; nothing if it is lost.
#[cfg(unix)]
fn inheritable(guard: &LockGuard) -> Result<Option<std::os::fd::OwnedFd>> {
    let inheritable = || {
        let descriptor = guard.descriptor()?;
        rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::empty())?;
        Ok::<_, std::io::Error>(descriptor)
    };
    match inheritable() {
        Ok(descriptor) => Ok(Some(descriptor)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(anyhow::Error::new(error).context("could not pass the lock on")),
    }
}
