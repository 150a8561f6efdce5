//! The shared-memory ring of [open-channel](https://docs.rs/open-channel): two rings in one piece of memory,
//! one in each direction between two processes of one machine.
//!
//! Rings between processes exist on Linux. Elsewhere the crate builds, and [`offer`] answers with
//! [`Unsupported`](std::io::ErrorKind::Unsupported): its caller uses another link.
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
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::io::ErrorKind;
//!
//! use open_channel_ring::{Layout, accept, offer};
//!
//! let layout = Layout::new(1 << 16, 1 << 16)?;
//! let (mut one, offer) = match offer(layout) {
//!     Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()), // no rings on this system
//!     offered => offered?,
//! };
//! // Between processes: `send_with_descriptors` and `receive_with_descriptors`, over a Unix socket.
//! let passed = offer.descriptors().iter().map(|fd| fd.try_clone_to_owned()).collect::<Result<_, _>>()?;
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
//! `unsafe` is in five files: the mapping (`os/linux/memory.rs`), the copies (`shim.rs`), saying that copied
//! bytes are there (`spsc.rs`), and noticing forks (`os/unix.rs`, `fork.rs`).
//!
//! What a misbehaving consumer *can* do is destroy the records that it was sent, since they lie in
//! memory that it may write; and either side can make the other wake up in vain.
//!
//! **One thing a misbehaving side can do on purpose is to stop the other.** `O_NONBLOCK` belongs to the eventfd and not
//! to one process's descriptor of it, so it can be taken off after [`accept`] has seen it; with the counter filled up,
//! the next [`wake`](Wake::wake) blocks. A crash or a kill cannot bring that about, only intent. So the library
//! shares memory only with processes of the same user, who could stop or kill it anyway.

#[cfg(not(target_has_atomic = "64"))]
compile_error!("the ring's words are 64-bit atomics, which this processor does not have");

mod capacity;
mod consumer;
mod ends;
mod error;
mod fork;
mod layout;
mod os;
mod position;
mod process_counters;
mod producer;
mod shim;
mod spin;
mod spsc;
mod wake;

pub use capacity::{MAX_CAPACITY, MIN_CAPACITY};
pub use consumer::Consumer;
pub use ends::RingEnds;
pub use error::{AttachError, Misbehaviour, RingError};
pub use fork::{Process, ProcessLocal, notice_forks};
pub use layout::Layout;
pub use os::{
    BorrowedDescriptor, Descriptor, Doorbell, Mapped, Offer, ReceivedDescriptors, accept, offer,
    receive_with_descriptors, send_with_descriptors,
};
pub use position::Position;
pub use process_counters::mapped_bytes;
pub use producer::{Producer, RingReservation, StoredRecord, Unreleased, WriteSlot};
pub use spin::Spin;
pub use spsc::{Blocks, Claim, ClaimedRecord, Heap, Record, Region, RingWatch, Wake};

/// One side's ends of a pair of rings between two processes.
pub type RingLink = RingEnds<Mapped, Doorbell>;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
