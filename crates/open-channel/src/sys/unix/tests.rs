//! The duties of each system, whichever it is.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};

use super::*;

/// Longer than anything here takes on a busy machine.
const AMPLE: Duration = Duration::from_secs(30);

fn never_blocks_and_ends_with_an_exec(socket: impl AsFd) {
    assert!(fcntl_getfd(&socket).expect("its flags").contains(FdFlags::CLOEXEC));
    assert!(fcntl_getfl(&socket).expect("its flags").contains(OFlags::NONBLOCK));
}

#[test]
fn sockets_never_block_and_end_with_an_exec() {
    let dir = tempfile::tempdir().expect("a directory");
    never_blocks_and_ends_with_an_exec(listen(&dir.path().join("s")).expect("a listener"));
    let (one, other) = pair().expect("a pair");
    never_blocks_and_ends_with_an_exec(&one);
    never_blocks_and_ends_with_an_exec(&other);
    never_blocks_and_ends_with_an_exec(duplicate(borrow(&one)).expect("a duplicate"));
}

#[test]
fn bytes_pass_and_a_shutdown_ends_the_stream_for_both_sides() {
    let (one, other) = pair().expect("a pair");
    let mut buffer = [0; 8];
    let error = receive(&other, &mut buffer).expect_err("there is nothing");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(send(&one, &[io::IoSlice::new(b"ab")]).expect("sent"), 2);
    assert_eq!(send(&one, &[io::IoSlice::new(b"c"), io::IoSlice::new(b"d")]).expect("sent"), 2);
    assert_eq!(receive(&other, &mut buffer).expect("received"), 4);
    assert_eq!(&buffer[..4], b"abcd");
    shutdown(&one);
    assert_eq!(receive(&other, &mut buffer).expect("received"), 0);
    let error = send(&other, &[io::IoSlice::new(b"e")]).expect_err("nobody reads");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn the_process_on_the_other_side_is_known() {
    let (one, _other) = tokio::net::UnixStream::pair().expect("a pair");
    assert_eq!(peer(&one).expect("reported"), (Some(std::process::id()), UserId::current()));
}

#[test]
fn a_user_is_the_number_that_the_kernel_knows() {
    assert_eq!(UserId::from_uid(1000).as_uid(), 1000);
    assert_eq!(UserId::from_uid(1000).to_string(), "1000");
    assert_ne!(UserId::from_uid(1000), UserId::from_uid(1001));
    assert_eq!(UserId::current().as_uid(), rustix::process::geteuid().as_raw());
}

#[test]
fn clocks_only_go_forward_and_agree() {
    let (coarse, exact) = (coarse_now(), monotonic_now());
    std::thread::sleep(Duration::from_millis(50));
    let (coarse, exact) = (coarse_now() - coarse, (monotonic_now() - exact).as_millis());
    assert!(exact >= 50 && coarse >= 30, "{exact} ms, {coarse} ms");
}

#[test]
fn a_wake_ends_the_present_sleep_or_the_next_one() {
    let (sender, receiver) = wake_pair().expect("a pair");
    let started = Instant::now();
    sender.wake();
    sender.wake();
    sleep(Some(&receiver), None, false, Some(AMPLE)).expect("slept");
    let waker = std::thread::spawn(move || {
        sender.wake();
        sender
    });
    sleep(Some(&receiver), None, false, Some(AMPLE)).expect("slept");
    let _sender = waker.join().expect("it woke");
    assert!(started.elapsed() < AMPLE);
    // All of it is used up.
    let started = Instant::now();
    sleep(Some(&receiver), None, false, Some(Duration::from_millis(20))).expect("slept");
    assert!(started.elapsed() >= Duration::from_millis(20));
}

#[test]
fn a_sleep_ends_when_the_link_is_ready() {
    let (near, far) = UnixStream::pair().expect("a pair");
    let started = Instant::now();
    sleep(None, Some(near.as_fd()), true, Some(AMPLE)).expect("slept");
    io::Write::write_all(&mut &far, b"x").expect("written");
    sleep(None, Some(near.as_fd()), false, Some(AMPLE)).expect("slept");
    assert!(started.elapsed() < AMPLE);
}

#[tokio::test]
async fn a_registered_stream_reports_bytes_and_room() {
    let (one, other) = pair().expect("a pair");
    let registration =
        Registration::new(Source::Stream(std::sync::Arc::new(one))).expect("registered");
    tokio::time::timeout(AMPLE, registration.writable())
        .await
        .expect("in time")
        .expect("room")
        .clear_ready();
    send(&other, &[io::IoSlice::new(b"x")]).expect("sent");
    tokio::time::timeout(AMPLE, registration.readable())
        .await
        .expect("in time")
        .expect("bytes")
        .clear_ready();
}

#[tokio::test]
async fn the_end_of_a_process_is_known() {
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("a child");
    let watch = ProcessExit::of(Some(child.id()));
    let short = Duration::from_millis(20);
    assert!(tokio::time::timeout(short, watch.wait()).await.is_err(), "it lives");
    child.kill().expect("killed");
    child.wait().expect("ended");
    tokio::time::timeout(AMPLE, watch.wait()).await.expect("in time");
    tokio::time::timeout(AMPLE, ProcessExit::of(Some(child.id())).wait())
        .await
        .expect("it was gone before");
}

#[tokio::test]
async fn the_end_of_an_unknown_process_never_comes() {
    let short = Duration::from_millis(20);
    assert!(tokio::time::timeout(short, ProcessExit::of(None).wait()).await.is_err());
}

#[test]
fn a_path_that_is_too_long_has_a_shorter_one_that_leads_to_the_same_socket() {
    let root = tempfile::tempdir().expect("a directory");
    let long = root.path().join("d".repeat(120));
    std::fs::create_dir(&long).expect("made");
    assert!(listen(&long.join("s")).is_err(), "the path was not too long");
    let dir = Directory::open(&long).expect("opened");
    let listener = {
        let path = SocketPath::short(&dir, &long, "s").expect("a shorter path");
        listen(path.as_path()).expect("a listener")
    };
    assert!(long.join("s").exists());
    let path = SocketPath::short(&dir, &long, "s").expect("a shorter path");
    let _near = UnixStream::connect(path.as_path()).expect("connected");
    listener.accept().expect("accepted");
}
