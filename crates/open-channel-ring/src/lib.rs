//! The shared-memory ring of [open-channel](https://docs.rs/open-channel): two rings in one piece
//! of memory, one in each direction between two processes of one machine.
//!
//! A ring carries *records* from one producer to one consumer, and *stores* them: a record stays
//! where it was written until the consumer releases it. So a sender whose receiver is gone finds in
//! its own ring what to send again. This crate knows bytes and processes, and nothing of sessions.
//!
//! ```text
//!   the memory         | header | control lines, up | control lines, down | … | ring up | ring down |
//!
//!   control lines of one ring, 128 bytes apart
//!     claimed     consumer   compare-and-swap; bit 0 is the producer's fence
//!     released    consumer   everything before it is handled; only this frees room
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
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::io::ErrorKind;
//!
//! use open_channel_ring::{Layout, accept, offer};
//!
//! let layout = Layout::new(1 << 16, 1 << 16)?;
//! let (mut one, offer) = match offer(layout) {
//!     // No rings on this system.
//!     Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
//!     offered => offered?,
//! };
//! // Between processes, over a Unix socket: `send_with_descriptors`, `receive_with_descriptors`.
//! let descriptors = offer.descriptors();
//! let passed = descriptors.iter().map(|fd| fd.try_clone_to_owned()).collect::<Result<_, _>>()?;
//! let mut two = accept(layout, passed)?;
//!
//! let end = one.producer.push(1, 0, b"hello")?;
//! let record = two.consumer.claim()?.expect("there is one");
//! assert_eq!((record.kind(), record.to_vec()), (1, b"hello".to_vec()));
//! assert_eq!(one.producer.unreleased().count(), 1);
//! two.consumer.release(end)?;
//! assert_eq!(one.producer.unreleased().count(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Where it works
//!
//! Rings between processes exist on Linux. Elsewhere the crate builds, and [`offer`] answers with
//! [`Unsupported`](std::io::ErrorKind::Unsupported): its caller uses another link. The processor
//! needs 64-bit atomics; the size of a pointer does not matter.
//!
//! # How it works
//!
//! **Publishing.** The store of its header publishes a record. Before that, the producer puts a
//! word of zeros behind the record, so a reader that sees the record sees where the records end.
//! There is no shared tail: the consumer waits on the very cache line that brings the header.
//!
//! **Claiming.** The consumer moves `claimed` past a record, with a compare-and-swap, before it
//! looks at the payload. The producer's [`fence`](Producer::fence) sets bit 0 of the same word.
//! From then on every claim fails, and the word says exactly which records the consumer may have
//! seen.
//!
//! **Releasing.** [`release`](Consumer::release) says "handled". Only then does the producer write
//! there again. Until then [`unreleased`](Producer::unreleased) has the record.
//!
//! **Waking.** A side that is about to sleep says so in shared memory; a busy pair makes no system
//! call.
//!
//! # Why this is safe
//!
//! The other process may write whatever it likes into the memory, at any time. Against that:
//! - The memory cannot shrink (its seals are checked before it is mapped), so touching it does not
//!   fault, short of a machine without memory.
//! - Sizes, masks and each side's own indices are in each side's own memory.
//! - The mapping is only ever seen as `&[AtomicU64]`. Payloads are copied out before anyone looks
//!   at them, whole or piece by piece ([`Record::read_at`], [`Record::blocks_at`]). A `&[u8]` that
//!   another process can change would be undefined behaviour, however carefully it is checked.
//! - A word out of range is a [`Misbehaviour`], an error of that one link.
//!
//! A misbehaving consumer *can* destroy the records that it was sent, and either side can wake the
//! other in vain. On purpose, a side can even stop the other. `O_NONBLOCK` belongs to the eventfd,
//! so it can be taken off after [`accept`] has seen it; with a full counter the next
//! [`wake`](Wake::wake) then blocks. So the library shares memory only with processes of the same
//! user, which could stop or kill it anyway.
//!
//! The long story is in the repository: `docs/ring.md` (how records travel, and what becomes of
//! them when a process is gone), `docs/waiting.md` (spinning and sleeping), `docs/PROTOCOL.md`
//! (every byte).
//!
//! `unsafe` is in the mapping (`os/linux/memory.rs`), the copies (`copy/`), saying that copied
//! bytes are there (`record.rs`), and noticing forks (`os/unix.rs`, `fork.rs`).
//!
//! The version number of this crate promises nothing: it is for `open-channel`, which needs the
//! same version.

#[cfg(not(target_has_atomic = "64"))]
compile_error!("the ring's words are 64-bit atomics, which this processor does not have");

mod atomics;
mod capacity;
mod consumer;
mod copy;
mod ends;
mod error;
mod fork;
mod header;
mod layout;
mod os;
mod position;
mod process;
mod producer;
mod record;
mod region;
mod reservation;
mod spin;
mod wake;
mod watch;
mod words;

pub use capacity::{MAX_CAPACITY, MIN_CAPACITY};
pub use consumer::{Claim, ClaimedRecord, Consumer};
pub use ends::RingEnds;
pub use error::{AttachError, Misbehaviour, RingError};
pub use fork::{ProcessLocal, notice_forks};
pub use layout::Layout;
pub use os::{
    BorrowedDescriptor, Descriptor, Doorbell, Mapped, Offer, ReceivedDescriptors, accept,
    commits_at_once, offer, receive_with_descriptors, send_with_descriptors,
};
pub use position::Position;
pub use process::{Process, committed_bytes};
pub use producer::{Producer, StoredRecord, Unreleased, WriteSlot};
pub use record::{Blocks, Record};
pub use region::{Heap, Region};
pub use reservation::RingReservation;
pub use spin::Spin;
pub use wake::Wake;
pub use watch::RingWatch;

/// One side's ends of a pair of rings between two processes.
pub type RingLink = RingEnds<Mapped, Doorbell>;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
