//! A peer with rings that the host has taken.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use open_channel_ring::{RingLink, offer};

use super::memory::{FIRST, RING, call, layout, poke};
use crate::raw::{self, Hello};

/// The host holds the sessions of broken connections for this long: their process lives.
pub(super) const SHORT: &str = "resume_timeout=300";

pub(super) struct Hostile {
    pub(super) stream: UnixStream,
    pub(super) ring: RingLink,
    pub(super) memory: OwnedFd,
    hosts_doorbell: OwnedFd,
}

impl Hostile {
    pub(super) fn attach(path: &Path, socket: u128) -> Self {
        let (ring, offer) = offer(layout()).unwrap();
        let descriptors = offer.descriptors();
        let hello = Hello { socket, rings: Some((RING, RING)), ..Hello::default() };
        let (stream, welcome) = raw::exchange_hello_with(path, &hello, &descriptors);
        assert_eq!(features(&welcome), 1, "the ring was declined");
        let [memory, _, hosts_doorbell] = descriptors.map(|fd| fd.try_clone_to_owned().unwrap());
        Self { stream, ring, memory, hosts_doorbell }
    }

    pub(super) fn write(&self, offset: u64, word: u64) {
        poke(&self.memory, offset, word);
    }

    pub(super) fn push(&mut self, kind: u8, payload: &[u8]) {
        self.push_flagged(kind, 0, payload);
    }

    pub(super) fn push_flagged(&mut self, kind: u8, flags: u8, payload: &[u8]) {
        self.ring.producer.push(kind, flags, payload).unwrap();
    }

    pub(super) fn call(&self) {
        call(&self.hosts_doorbell);
    }

    /// A first part of a message of `total` bytes.
    pub(super) fn begin(&mut self, total: u64, payload: &[u8]) {
        self.push(FIRST, &[&total.to_le_bytes(), payload].concat());
    }

    /// Waits for the next answer of the host, without a limit.
    pub(super) fn answer(&mut self) -> Vec<u8> {
        loop {
            if let Some(record) = self.ring.consumer.claim().unwrap() {
                let (bytes, end) = (record.to_vec(), record.end());
                self.ring.consumer.release(end).unwrap();
                return bytes;
            }
            std::thread::yield_now();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        let mut byte = [0];
        let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
        rustix::net::recv(&self.stream, &mut byte, flags) != Err(rustix::io::Errno::AGAIN)
    }
}

/// The features that the host's welcome names; 1 is the ring.
pub(super) fn features(welcome: &[u8]) -> u64 {
    u64::from_le_bytes(*welcome[59..].first_chunk().unwrap())
}
