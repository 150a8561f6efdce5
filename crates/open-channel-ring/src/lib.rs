//! The shared-memory ring of [open-channel](https://docs.rs/open-channel): two rings in one sealed memfd, one
//! in each direction between two processes of one Linux machine. Elsewhere this crate is empty.
//!
//! It is the link that the library uses between processes of one user. By itself it is tested in one process, in every
//! interleaving that loom finds, between processes that are stopped and killed, and against words that no honest peer
//! writes.
//!
//! A ring carries records from one producer to one consumer, and *is* the store from which they are
//! sent again: a record stays where it was written until the consumer says that it was handled. This
//! crate knows bytes and processes, and nothing of sessions.
//!
//! ```text
//!   the memfd          | header | control lines, up | control lines, down | … | ring up | ring down |
//!
//!   control lines of one ring, 128 bytes apart
//!     claimed     consumer   compare-and-swap; bit 0 is the producer's fence
//!     released    consumer   everything before it was handled; only this frees room
//!     data wait   consumer   "wake me when there is a record"
//!     space wait  producer   "wake me when released has come to …"
//!
//!   a ring                      released        claimed          tail (the producer's own)
//!                                  |               |               |
//!      |  free, old bytes          | may have been | nobody has    | 0 | free, old bytes      |
//!      |                           | seen          | seen          |   |                      |
//!
//!   a record           | u32 length | u8 kind | u8 flags | u16 stamp | payload, padded to 8, or 64 |
//! ```
//!
//! ```
//! # #[cfg(target_os = "linux")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use open_channel_ring::{Layout, accept, offer};
//!
//! let layout = Layout::new(1 << 16, 1 << 16)?;
//! let (mut one, offer) = offer(layout)?;
//! // Between processes: `send_with_descriptors` and `receive_with_descriptors`, over a Unix socket.
//! let [memory, bell, others] = offer.descriptors();
//! let descriptors = [memory.try_clone_to_owned()?, bell.try_clone_to_owned()?, others.try_clone_to_owned()?];
//! let mut two = accept(layout, descriptors)?;
//!
//! let end = one.producer.push(1, 0, b"hello")?;
//! let record = two.consumer.claim()?.expect("there is one");
//! assert_eq!((record.kind(), record.to_vec()), (1, b"hello".to_vec()));
//! assert_eq!(one.producer.unreleased().count(), 1);
//! two.consumer.release(end)?;
//! assert_eq!(one.producer.unreleased().count(), 0);
//! # Ok(())
//! # }
//! # #[cfg(not(target_os = "linux"))]
//! # fn main() {}
//! ```
//!
//! # How it works
//!
//! **Publishing.** A record is published by the store of its header, last, over the word of zeros that
//! was there. Before that the producer puts the next word of zeros behind the record, so whoever can
//! see a record can see where the records end. There is no shared tail: the consumer waits on the very
//! cache line that brings the record's header. (At the start of the ring, behind a payload of 1 KiB and more, and wherever else a
//! position is a multiple of 64, the payload begins with the next line.) A record is never split; when the rest of the ring is too
//! short for it, a padding header says so and the record starts at the front.
//!
//! **Claiming.** Before the consumer looks at a record's payload it moves `claimed` past it with a
//! compare-and-swap. The producer's [`fence`](Producer::fence) sets bit 0 of the same word: from then on
//! every claim fails, and what the word said at that moment is exactly what may have been seen. A
//! producer whose consumer is gone, or stuck and given up, fences the ring and moves
//! [what is unreleased](Producer::unreleased) to another link. A ring is never used again after that.
//!
//! **Releasing** is separate: [`release`](Consumer::release) says "handled", and only then does the
//! producer write there again.
//!
//! **Waking** is told in `wake.rs`: one word says that a side sleeps, and a busy pair makes no system call.
//!
//! # Why this is safe
//!
//! The other process may write whatever it likes into the memory, at any time. Against that:
//! - The memory cannot shrink (its seals are checked before it is mapped), so touching it does not fault. What
//!   is left is a machine without memory: a peer can give pages back, and under strict overcommit
//!   (`vm.overcommit_memory=2`) taking them again can fail, which is a signal.
//! - Sizes, masks and each side's own indices are kept in each side's own memory.
//! - The mapping is only ever seen as `&[AtomicU64]`, never as `&[u8]`. A word is checked and
//!   used as it was read then, whatever a later look at it finds. Payloads are copied out before anyone looks at them, whole or piece by
//!   piece ([`Record::read_at`], [`Record::blocks_at`]). To lend them out would need a `&[u8]` that another process can change,
//!   which is undefined behaviour however carefully it is checked; for the same reason slots being filled are write-only.
//! - A word out of range is a [`Misbehaviour`], an error of that one link.
//!
//! `unsafe` is in four files: the mapping (`memory.rs`), the copies (`shim.rs`), saying that copied
//! bytes are there (`spsc.rs`), and noticing forks (`fork.rs`).
//!
//! What a misbehaving consumer *can* do is destroy the records that it was sent, since they lie in
//! memory that it may write; and either side can make the other wake up in vain.
//!
//! **One thing a misbehaving side can do on purpose is to stop the other.** `O_NONBLOCK` belongs to the eventfd and not
//! to one process's descriptor of it, so it can be taken off after [`accept`] has seen it; with the counter filled up,
//! the next [`wake`](Wake::wake) blocks. A crash or a kill cannot bring that about, only intent. So the library
//! shares memory only with processes of the same user, who could stop or kill it anyway.
#![cfg_attr(not(target_os = "linux"), allow(rustdoc::broken_intra_doc_links))] // there is nothing to link to
#![cfg(target_os = "linux")]

mod bell;
mod consumer;
mod error;
mod fork;
mod layout;
mod memory;
mod passing;
mod producer;
mod shim;
mod spin;
mod spsc;
mod wake;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub use bell::{Bell, Parker, Woken};
pub use consumer::Consumer;
pub use error::{AttachError, Misbehaviour, RingError};
pub use fork::{Process, ProcessLocal, notice_forks};
pub use layout::{Layout, MAX_CAPACITY, MIN_CAPACITY, Position};
pub use memory::{Mapped, mapped_bytes};
pub use passing::{OFFERED, Received, receive_with_descriptors, send_with_descriptors};
pub use producer::{Producer, Reservation, Stored, Unreleased, WriteSlot};
pub use spin::Spin;
pub use spsc::{Blocks, Claim, Claimed, Heap, Record, Region, Wake, Watch};

/// One side's ends of the two rings.
pub struct RingLink<R = Mapped, W = Bell> {
    /// Writes to the other side.
    pub producer: Producer<R, W>,
    /// Reads from the other side.
    pub consumer: Consumer<R, W>,
    /// What this side sleeps on, for either end.
    pub bell: W,
}

impl<R: Region, W: Wake + Clone> RingLink<R, W> {
    /// The side that offers: it writes the up ring.
    pub fn offering(region: R, layout: Layout, bell: W, others: W) -> Self {
        let producer = Producer::new(region.clone(), layout.up_ring(), others.clone());
        let consumer = Consumer::new(region, layout.down_ring(), others);
        RingLink { producer, consumer, bell }
    }

    /// The side that accepts: it reads the up ring.
    pub fn accepting(region: R, layout: Layout, bell: W, others: W) -> Self {
        let producer = Producer::new(region.clone(), layout.down_ring(), others.clone());
        let consumer = Consumer::new(region, layout.up_ring(), others);
        RingLink { producer, consumer, bell }
    }
}

/// What the offering side sends along with its announcement.
#[derive(Debug)]
pub struct Offer {
    memory: OwnedFd,
    own_bell: Bell,
    others_bell: Bell,
}

impl Offer {
    /// For [`send_with_descriptors`].
    pub fn descriptors(&self) -> [BorrowedFd<'_>; OFFERED] {
        [self.memory.as_fd(), self.own_bell.as_fd(), self.others_bell.as_fd()]
    }
}

/// Makes the memory and the bells, and this side's ends. The [`Offer`] can be dropped once it is sent;
/// if the other side declines, drop both and nothing is left behind.
///
/// # Errors
/// The kernel's: no memory, no descriptors, or a seccomp filter. Use another link then.
pub fn offer(layout: Layout) -> io::Result<(RingLink, Offer)> {
    let (memory, mapped) = memory::create(layout)?;
    let (own_bell, others_bell) = (Bell::new()?, Bell::new()?);
    let link = RingLink::offering(mapped, layout, own_bell.clone(), others_bell.clone());
    Ok((link, Offer { memory, own_bell, others_bell }))
}

/// Checks an offer and takes it. `layout` is what the announcement said, within the caller's limits.
///
/// # Errors
/// [`AttachError`]; the descriptors are closed.
pub fn accept(layout: Layout, descriptors: [OwnedFd; OFFERED]) -> Result<RingLink, AttachError> {
    let [memory, others_bell, own_bell] = descriptors;
    let mapped = memory::attach(&memory, layout)?;
    let (own_bell, others_bell) = (Bell::from_fd(own_bell)?, Bell::from_fd(others_bell)?);
    Ok(RingLink::accepting(mapped, layout, own_bell, others_bell))
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
