//! Locks and roles.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

use super::handle::{Face, Handle};
use crate::core::{LockClaim, LockId, LockMode, LockName, LockSpace, LockWait, Name, Token};
use crate::engine::LockState;
use crate::error::Error;

/// A lock that is held or waited for; let go when dropped.
#[derive(Debug)]
struct Claim {
    handle: Arc<Handle>,
    id: LockId,
    state: watch::Receiver<LockState>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.handle.engine().unlock(self.id);
    }
}

impl Claim {
    async fn new(
        handle: &Arc<Handle>,
        space: LockSpace,
        name: &str,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<Self, Error> {
        let name = LockName { space, name: Name::new(name)? };
        let (id, state) =
            handle.begin(Face::Locks, |engine| engine.lock(name.clone(), mode, wait)).await?;
        Ok(Self { handle: Arc::clone(handle), id, state })
    }

    /// Waits until it is held; `None` if it is not free, or was stolen meanwhile.
    async fn held(&mut self) -> Result<Option<Token>, Error> {
        let settled = self.state.wait_for(|state| *state != LockState::Waiting).await;
        match settled.map(|state| *state) {
            Ok(LockState::Held(token)) => Ok(Some(token)),
            Ok(_) => Ok(None),
            Err(_) => Err(self.handle.engine().error()),
        }
    }
}

/// `None` if it is not free, or another one has stolen it first.
pub(crate) async fn lock(
    handle: &Arc<Handle>,
    space: LockSpace,
    name: &str,
    mode: LockMode,
    wait: LockWait,
) -> Result<Option<LockGuard>, Error> {
    let mut claim = Claim::new(handle, space, name, mode, wait).await?;
    let token = claim.held().await?;
    Ok(token.map(|token| LockGuard { claim, token }))
}

/// Whatever others steal meanwhile, it is held in the end.
pub(crate) async fn wait_for(
    handle: &Arc<Handle>,
    space: LockSpace,
    name: &str,
    mode: LockMode,
    mut wait: LockWait,
) -> Result<LockGuard, Error> {
    loop {
        if let Some(guard) = lock(handle, space, name, mode, wait).await? {
            return Ok(guard);
        }
        // Another one has stolen it first. A thief that stole it back would not let that one have
        // it either, and so on for ever: it stands in line.
        wait = LockWait::Wait;
    }
}

pub(crate) async fn query(handle: &Arc<Handle>) -> Result<Vec<LockClaim>, Error> {
    let (_, claims) = handle.begin(Face::Locks, |engine| engine.query_locks()).await?;
    handle.end(claims).await
}

/// A lock that this member holds; it is let go when dropped.
///
/// It is lost when another member steals it, or the group is over. A member that was put out of the
/// view holds its locks: the kernel does, until it lets go.
#[derive(Debug)]
pub struct LockGuard {
    claim: Claim,
    token: Token,
}

impl LockGuard {
    /// The fencing token: whoever has the lock later has a greater one. A resource that remembers
    /// the greatest one can refuse a holder that comes late.
    pub fn token(&self) -> Token {
        self.token
    }

    /// Whether it was lost.
    pub fn is_lost(&self) -> bool {
        let state = &self.claim.state;
        state.has_changed().is_err() || !matches!(*state.borrow(), LockState::Held(_))
    }

    /// Resolves when it is lost.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn lost(&self) {
        let mut state = self.claim.state.clone();
        // Its sender is gone when the group is.
        let _ = state.wait_for(|state| !matches!(state, LockState::Held(_))).await;
    }

    /// Runs something for as long as it is held; `None` if it was lost before the end.
    ///
    /// # Cancel safety
    /// As that of the future.
    pub async fn run<T>(&self, task: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.lost() => None,
            done = task => Some(done),
        }
    }

    /// A duplicate of the descriptor by which the kernel holds the lock, for a child process that
    /// inherits it, as flock(1) does it.
    ///
    /// From now on, nobody else has the lock before all duplicates of it are closed, in whatever
    /// process. So the child holds it until it ends, even if this process is killed, or the lock
    /// is stolen meanwhile. It is close-on-exec at first.
    ///
    /// # Errors
    /// When the lock was lost, or there is no descriptor left.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let group = open_channel_group::Group::builder("locks")
    /// #     .runtime_dir(dir.path().join("d")).join().await?;
    /// let guard = group.lock("invoices").await?;
    /// let descriptor = guard.descriptor()?;
    /// drop(guard);
    /// assert!(group.try_lock("invoices").await?.is_none());
    /// drop(descriptor);
    /// group.lock("invoices").await?;
    /// # Ok(()) }
    /// ```
    #[cfg(unix)]
    pub fn descriptor(&self) -> std::io::Result<std::os::fd::OwnedFd> {
        self.claim.handle.engine().lend(self.claim.id).map(Into::into)
    }

    /// Lets it go, as dropping it does.
    pub fn unlock(self) {}
}
