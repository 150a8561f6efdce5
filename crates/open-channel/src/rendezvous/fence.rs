//! Whether a host still is the host.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::rendezvous::directory::ChannelDir;
use crate::rendezvous::entries::{current_in, read_link};
use crate::rendezvous::token::Token;
use crate::sys::{Listing, coarse_now};

/// Lets a host find out that it lost its right before it handles another message.
///
/// Others fence a host after it was silent for the host timeout. The lease is half as long and
/// renewed only by the same background thread that answers heartbeats: within the lease nobody can
/// have given the host up, and beyond it every message asks the directory first.
#[derive(Debug)]
pub(crate) struct Fence {
    dir: Arc<ChannelDir>,
    generation: u64,
    token: Token,
    lease: Duration,
    lease_until: AtomicU64,
    lost: AtomicBool,
    /// The directory, open to be listed by a process that has no descriptors left.
    listing: Mutex<Option<Listing>>,
}

/// How long a host handles messages without a look, at most.
pub(crate) fn lease(host_timeout: Duration) -> Duration {
    host_timeout / 2
}

impl Fence {
    /// The fence of a host that has just published itself.
    pub(crate) fn new(
        dir: Arc<ChannelDir>,
        generation: u64,
        token: Token,
        host_timeout: Duration,
    ) -> Self {
        let fence = Self {
            listing: Mutex::new(dir.files().listing().ok()),
            dir,
            generation,
            token,
            lease: lease(host_timeout),
            lease_until: AtomicU64::new(0),
            lost: AtomicBool::new(false),
        };
        // Not simply renewed: its process may have been stopped since it published itself.
        fence.beat();
        fence
    }

    /// Whether this process may handle a message now.
    pub(crate) fn holds(&self) -> bool {
        if self.lost.load(Ordering::Acquire) {
            return false;
        }
        coarse_now() < self.lease_until.load(Ordering::Relaxed) || self.look()
    }

    /// The background thread is alive: looks, and renews the lease.
    pub(crate) fn beat(&self) -> bool {
        let holds = self.look();
        if holds {
            self.renew();
        }
        holds
    }

    fn renew(&self) {
        let lease = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
        self.lease_until.store(coarse_now().saturating_add(lease), Ordering::Relaxed);
    }

    fn look(&self) -> bool {
        // A host that cannot know must not go on.
        if !self.is_still_host().unwrap_or(false) {
            self.lost.store(true, Ordering::Release);
        }
        !self.lost.load(Ordering::Acquire)
    }

    fn is_still_host(&self) -> io::Result<bool> {
        if !self.dir.is_where_others_look() {
            let directory = self.dir.path().display();
            tracing::warn!(%directory, "newcomers look in another directory, or this one was removed");
            return Ok(false);
        }
        let mut listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        if listing.is_none() {
            *listing = Some(self.dir.files().listing()?);
        }
        let Some(listing) = listing.as_mut() else { return Ok(false) };
        // A successor's generation need not be the next one: some are passed over.
        if current_in(&self.dir, listing)?.is_some_and(|latest| latest.generation > self.generation)
        {
            return Ok(false);
        }
        // No link is one that something deleted, which is put back: a successor's would have been
        // there before.
        Ok(read_link(&self.dir, self.generation)?.is_none_or(|token| token == self.token))
    }

    /// Nothing is handled from here on.
    pub(crate) fn give_up(&self) {
        self.lost.store(true, Ordering::Release);
    }
}
