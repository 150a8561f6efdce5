//! A bare single-producer single-consumer ring in shared memory, spinning, with nothing around it:
//! no handshake, no check of what the other side wrote, no sleep. It is the limit of this machine.

use crate::job::{Job, Side};
use crate::payload::Payload;
use crate::transport::{Endpoint, Runtime, Transport};
use anyhow::{Context, Result, ensure};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use std::fs::{File, OpenOptions};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};

/// Two cache lines: neighbouring lines are fetched in pairs.
const LINE: usize = 128;
const HEADER: usize = 8;
/// In place of a length: the rest of the ring is empty, go on at its start.
const WRAP: u64 = u64::MAX;

/// How many bytes may lie in the ring unannounced while messages are fed.
const UNPUBLISHED: u64 = 4096;

/// The consumer learns of each message at once.
pub(crate) type Published = RawRing<false>;
/// The consumer learns of several at once: fewer transfers of the line with the index.
pub(crate) type Buffered = RawRing<true>;

pub(crate) struct RawRing<const BUFFERED: bool> {
    end: Option<End<BUFFERED>>,
}

/// Producer of one ring and consumer of the other.
pub(crate) struct End<const BUFFERED: bool> {
    outgoing: Half,
    incoming: Half,
    capacity: u64,
    largest: usize,
}

struct Half {
    base: *mut u8,
    /// Our own index.
    mine: u64,
    /// Our own index as the other side knows it.
    published: u64,
    /// The other side's index as last seen.
    theirs: u64,
}

/// Room for 64 messages, within 1 and 4 MiB (in smaller rings both cores fight for the same lines),
/// and for 4 messages in any case.
fn capacity(len: usize) -> u64 {
    let comfortable = (64 * len).clamp(1 << 20, 4 << 20);
    comfortable.max(4 * (len + LINE)).next_power_of_two() as u64
}

/// Header and payload; behind a long one the next payload begins with a cache line, too.
fn record(len: usize) -> u64 {
    (HEADER + len).next_multiple_of(if len < 1024 { 8 } else { 64 }) as u64
}

impl<const BUFFERED: bool> End<BUFFERED> {
    fn new(job: &Job) -> Result<Self> {
        let capacity = capacity(job.len);
        let each = 3 * LINE + usize::try_from(capacity)?;
        let path = job.place.join("ring");
        let file: File =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(2 * each as u64)?;
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice; it is never unmapped, so the
        // pointers below stay valid, and the file is never made shorter.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                2 * each,
                flags,
                MapFlags::SHARED | MapFlags::POPULATE,
                &file,
                0,
            )?
        };
        // SAFETY: the mapping is twice as long as `each`.
        let (first, second) = (base.cast(), unsafe { base.cast::<u8>().add(each) });
        let (outgoing, incoming) =
            if job.side == Side::Host { (first, second) } else { (second, first) };
        let half = |base| Half { base, mine: 0, published: 0, theirs: 0 };
        Ok(End { outgoing: half(outgoing), incoming: half(incoming), capacity, largest: job.len })
    }
}

impl Half {
    /// Written by the producer.
    fn head(&self) -> &AtomicU64 {
        // SAFETY: the first line of the half is reserved for this index, and the mapping is aligned
        // to a page.
        unsafe { &*self.base.cast() }
    }

    fn publish(&mut self) {
        self.published = self.mine;
        self.head().store(self.mine, Ordering::Release);
    }

    /// The bytes that were read are free again.
    fn release(&self) {
        self.tail().store(self.mine, Ordering::Release);
    }

    /// Written by the consumer.
    fn tail(&self) -> &AtomicU64 {
        // SAFETY: as for `head`; this is the second line.
        unsafe { &*self.base.add(LINE).cast() }
    }

    /// The byte at an index that runs on for ever.
    fn at(&self, index: u64, capacity: u64) -> *mut u8 {
        // SAFETY: the offset is below the capacity. From the end of its third line, less a header,
        // on, the half has its capacity and a header more.
        unsafe { self.base.add(3 * LINE - HEADER + (index & (capacity - 1)) as usize) }
    }
}

impl<const BUFFERED: bool> Transport for RawRing<BUFFERED> {
    type Endpoint = End<BUFFERED>;
    const RUNTIME: Runtime = Runtime::Blocking;

    async fn host(job: &Job) -> Result<Self> {
        Ok(RawRing { end: Some(End::new(job)?) })
    }

    async fn accept(&mut self) -> Result<Self::Endpoint> {
        self.end.take().context("the ring has two ends")
    }

    async fn connect(job: &Job) -> Result<Self::Endpoint> {
        End::new(job)
    }
}

impl<const BUFFERED: bool> Endpoint for End<BUFFERED> {
    async fn send(&mut self, payload: Payload) -> Result<()> {
        self.feed(payload).await?;
        self.flush().await
    }

    async fn feed(&mut self, payload: Payload) -> Result<()> {
        ensure!(payload.len <= self.largest, "the ring was made for smaller messages");
        let (ring, capacity) = (&mut self.outgoing, self.capacity);
        let record = record(payload.len);
        let left = capacity - (ring.mine & (capacity - 1));
        let skip = if left < record { left } else { 0 };
        while capacity - (ring.mine - ring.theirs) < skip + record {
            ring.publish();
            ring.theirs = ring.tail().load(Ordering::Acquire);
            if capacity - (ring.mine - ring.theirs) < skip + record {
                spin_loop();
            }
        }
        // SAFETY: `skip + record` bytes from `mine` on are free (the loop above, acquired), a
        // record never crosses the end of the ring, and every record is a multiple of 8, so each
        // header is aligned and fits before the end.
        unsafe {
            if skip > 0 {
                ring.at(ring.mine, capacity).cast::<u64>().write(WRAP);
                ring.mine += skip;
            }
            let start = ring.at(ring.mine, capacity);
            start.cast::<u64>().write(payload.len as u64);
            let body = std::slice::from_raw_parts_mut(start.add(HEADER).cast(), payload.len);
            payload.write_uninit(body);
        }
        ring.mine += record;
        if !BUFFERED || ring.mine - ring.published >= UNPUBLISHED {
            ring.publish();
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.outgoing.publish();
        Ok(())
    }

    async fn recv(&mut self) -> Result<Payload> {
        let payload = self.read()?;
        self.incoming.release();
        Ok(payload)
    }

    async fn recv_some(&mut self, mut take: impl FnMut(Payload) -> Result<()>) -> Result<()> {
        loop {
            take(self.read()?)?;
            if !BUFFERED || self.incoming.theirs == self.incoming.mine {
                self.incoming.release();
                return Ok(());
            }
        }
    }

    async fn answer(&mut self) -> Result<Payload> {
        let payload = self.read()?;
        self.send(payload).await?;
        self.incoming.release();
        Ok(payload)
    }
}

impl<const BUFFERED: bool> End<BUFFERED> {
    /// The next message, which the producer keeps until it is released.
    #[inline(always)]
    fn read(&mut self) -> Result<Payload> {
        let (ring, capacity) = (&mut self.incoming, self.capacity);
        loop {
            while ring.theirs == ring.mine {
                ring.theirs = ring.head().load(Ordering::Acquire);
                spin_loop();
            }
            let start = ring.at(ring.mine, capacity);
            // SAFETY: the producer released a record here (`theirs` was acquired and is ahead), and
            // both sides are this program, so the length is one that `send` wrote.
            let len = unsafe { start.cast::<u64>().read() };
            if len == WRAP {
                ring.mine += capacity - (ring.mine & (capacity - 1));
                continue;
            }
            // SAFETY: as above; the producer leaves the bytes alone until the tail passes them.
            let body = unsafe { std::slice::from_raw_parts(start.add(HEADER), len as usize) };
            let payload = Payload::check(body)?;
            ring.mine += record(len as usize);
            return Ok(payload);
        }
    }
}
