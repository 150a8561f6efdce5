//! Peers that offer rings which no host may take.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, OFlags, SealFlags};

use super::footprint::Footprint;
use super::memory::{BYTES, RING, SEALS, doorbell, memory, poke};
use super::peer::{Hostile, SHORT, features};
use crate::isolation::{busy_pair, check_unharmed};
use crate::raw::{self, Hello};
use crate::stage::Stage;

pub(crate) fn a_bad_offer_is_declined_and_the_socket_carries_on(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, SHORT);
    let (_, path) = stage.published();
    let before = Footprint::of(&host);
    for (n, (what, (rings, fds))) in offers(stage.path()).iter().enumerate() {
        let hello = Hello { socket: 4000 + n as u128, rings: *rings, ..Hello::default() };
        let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        let (mut stream, welcome) = raw::exchange_hello_with(&path, &hello, &borrowed);
        assert_eq!(features(&welcome), 0, "taken: {what}");
        let text = format!("offer {n}");
        stream.write_all(&raw::data(1, text.as_bytes())).unwrap();
        host.find(0, what, |line| line.is("handled") && line.text.ends_with(&text));
    }
    // Correct memory is taken.
    drop(Hostile::attach(&path, 5000));
    before.wait_until_restored(&host);
    check_unharmed(&host, &bystander);
}

/// The sizes of the rings that a hello announces, and the descriptors that come with it.
type Offer = (Option<(u64, u64)>, Vec<OwnedFd>);

/// Offers, each after the words for its fault.
fn offers(dir: &Path) -> Vec<(&'static str, Offer)> {
    let good = || memory(BYTES, SEALS);
    let pipe = || OwnedFd::from(std::io::pipe().unwrap().0);
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    let file = || {
        let mut file = tempfile::tempfile_in(dir).unwrap();
        file.write_all(&[0; 4096]).unwrap();
        OwnedFd::from(file)
    };
    let older = || {
        let fd = good();
        poke(&fd, 8, 1);
        fd
    };
    let blank = || {
        let fd = rustix::fs::memfd_create(c"hostile", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&fd, BYTES).unwrap();
        rustix::fs::fcntl_add_seals(&fd, SEALS).unwrap();
        fd
    };
    let read_only = || {
        let fd = good();
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        OwnedFd::from(File::open(path).unwrap())
    };
    let path_only = || rustix::fs::open(dir, OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    let blocking = || eventfd(0, EventfdFlags::empty()).unwrap();
    let usual = Some((RING, RING));
    let with_memory = |fd: OwnedFd| (usual, vec![fd, doorbell(), doorbell()]);
    let sized = |up, down| (Some((up, down)), vec![good(), doorbell(), doorbell()]);
    vec![
        ("nothing", (usual, vec![])),
        ("two descriptors", (usual, vec![good(), doorbell()])),
        ("four descriptors", (usual, vec![good(), doorbell(), doorbell(), null()])),
        ("thirty descriptors", (usual, (0..30).map(|_| null()).collect())),
        ("descriptors that are not announced", (None, vec![good(), doorbell(), doorbell()])),
        ("a pipe", with_memory(pipe())),
        ("a device", with_memory(null())),
        ("a file", with_memory(file())),
        ("a path", with_memory(path_only())),
        ("a doorbell for memory", (usual, vec![doorbell(), good(), doorbell()])),
        ("memory without seals", with_memory(memory(BYTES, SealFlags::empty()))),
        ("memory that can shrink", with_memory(memory(BYTES, SealFlags::GROW))),
        ("memory that is too small", with_memory(memory(4096, SEALS))),
        ("memory that is too large", with_memory(memory(BYTES + 4096, SEALS))),
        ("memory without a header", with_memory(blank())),
        ("memory of another version", with_memory(older())),
        ("memory that nobody may write", with_memory(memory(BYTES, SEALS | SealFlags::WRITE))),
        ("memory that the host may not write", with_memory(read_only())),
        ("a pipe for a doorbell", (usual, vec![good(), pipe(), doorbell()])),
        ("a file for a doorbell", (usual, vec![good(), doorbell(), file()])),
        ("a doorbell that blocks", (usual, vec![good(), doorbell(), blocking()])),
        ("rings of nothing", sized(0, 0)),
        ("rings of no size that is allowed", sized(3000, 5000)),
        ("a ring of the wrong size", sized(RING, 2 * RING)),
        ("rings beyond all memory", sized(u64::MAX, u64::MAX)),
        ("rings whose sizes overflow", sized(1 << 63, 1 << 63)),
        (
            "rings too large for this host",
            (
                Some((32 << 20, 32 << 20)),
                vec![memory(4096 + (64 << 20), SEALS), doorbell(), doorbell()],
            ),
        ),
    ]
}
