//! The duties of each system, on Windows.

use std::fs::File;
use std::os::windows::io::AsHandle;
use std::time::{Duration, Instant};

use super::pipe::PipeStream;
use super::security::{Access, Object, Others};
use super::*;
use crate::sys::step::Unopened;

/// Longer than anything here takes on a busy machine.
const AMPLE: Duration = Duration::from_secs(30);

fn directory() -> (tempfile::TempDir, Directory) {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("above").join("own");
    assert!(make_directory(&path).expect("made"));
    assert!(!make_directory(&path).expect("there"));
    let directory = Directory::open(&path).expect("opened");
    (root, directory)
}

#[test]
fn a_user_is_a_security_identifier() {
    let user = UserId::current();
    assert!(user.to_string().starts_with("S-1-5-"), "{user}");
    assert_eq!(user, UserId::current());
}

#[test]
fn a_directory_that_is_made_is_this_users_alone() {
    let (_root, directory) = directory();
    assert_eq!(directory.lets_others_in(true).expect("known"), None);
}

#[test]
fn a_file_that_is_made_is_this_users_alone_and_is_read_whole() {
    let (_root, directory) = directory();
    directory.put("x.new", "x.tcp", "text").expect("made");
    let mut buffer = [0; 8];
    assert_eq!(directory.read_own("x.tcp", &mut buffer).expect("its own"), Some(4));
    assert_eq!(&buffer[..4], b"text");
    assert_eq!(directory.read_own("y.tcp", &mut buffer).expect("no fault"), None);
}

#[test]
fn what_is_no_directory_is_refused() {
    let root = tempfile::tempdir().expect("a directory");
    let file = root.path().join("file");
    File::create(&file).expect("a file");
    assert!(!make_directory(&file).expect("there"));
    let Err(Unopened::Never(problem)) = Directory::open(&file) else { panic!("opened") };
    assert!(problem.contains("not a directory"), "{problem}");
    let nothing = Directory::open(&root.path().join("nothing"));
    assert!(matches!(nothing, Err(Unopened::Now(_))), "{nothing:?}");
}

#[test]
fn one_publication_wins_and_is_read_whole() {
    let (_root, directory) = directory();
    let published: Vec<bool> = std::thread::scope(|scope| {
        let publish = |number: u32| {
            let directory = &directory;
            scope.spawn(move || {
                let beside = format!("{number}.new");
                directory.publish(&beside, "1", &number.to_string()).expect("no fault")
            })
        };
        let threads: Vec<_> = (0..8).map(publish).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let winners: Vec<usize> = (0..8).filter(|&number| published[number]).collect();
    let [winner] = winners[..] else { panic!("{winners:?}") };
    let text = directory.published("1").expect("readable").expect("there");
    assert_eq!(text, winner.to_string().into_bytes());
    let mut names = Vec::new();
    let listed = directory.listing().expect("opened").each(|name| names.push(name.to_owned()));
    listed.expect("listed");
    assert_eq!(names, [b"1"], "something is left behind");
}

#[test]
fn what_is_no_publication_is_not_read() {
    let (root, directory) = directory();
    std::fs::create_dir(root.path().join("above").join("own").join("2")).expect("made");
    assert_eq!(directory.published("2").expect("no fault"), None);
    assert_eq!(directory.published("3").expect("no fault"), None);
    assert!(!directory.publish("new", "2", "text").expect("no fault"), "it replaced a directory");
}

#[test]
fn a_lock_in_the_place_of_which_a_directory_stands_is_none() {
    let (root, directory) = directory();
    std::fs::create_dir(root.path().join("above").join("own").join("x.lock")).expect("made");
    let error = directory.open_file("x.lock").expect_err("a directory");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn an_open_file_is_gone_by_its_name_when_it_is_removed() {
    let (_root, directory) = directory();
    let held = directory.create_file("x.lock").expect("made");
    held.try_lock().expect("locked");
    assert!(directory.is_file("x.lock", &held));
    directory.remove("x.lock").expect("removed");
    assert!(!directory.exists("x.lock").expect("known"));
    assert!(!directory.is_file("x.lock", &held));
    directory.create_file("x.lock").expect("another one");
}

#[tokio::test]
async fn a_pipe_is_this_users_alone_and_takes_one_name() {
    let name = name_of(random_number().expect("random"));
    let instance = PipeInstance::new(&name, Instance::First).expect("a pipe");
    let client = PipeStream::open(&name).expect("opened");
    let access = Access::of(client.as_handle(), Object::Pipe).expect("known");
    assert_eq!(access.owner, UserId::current());
    assert_eq!(access.fault(Others::Nothing), None);
    let server = PipeStream::Server(instance.watch().expect("watched"));
    let here = (Some(std::process::id()), UserId::current());
    assert_eq!(
        (server.peer().expect("known"), client.peer().expect("known")),
        (here.clone(), here)
    );
    let busy = PipeStream::open(&name).expect_err("all instances are taken");
    assert_eq!(busy.raw_os_error(), Some(231));
}

#[tokio::test]
async fn bytes_pass_and_what_was_written_before_the_end_arrives() {
    let (one, other) = pair().expect("a pair");
    let mut buffer = [0; 8];
    let error = receive(&other, &mut buffer).expect_err("there is nothing");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    let slices = [io::IoSlice::new(b"c"), io::IoSlice::new(b"d")];
    while send(&one, &slices).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
        one.ready(tokio::io::Interest::WRITABLE).await.expect("room");
    }
    shutdown(&one);
    let mut read = Vec::new();
    loop {
        let ready = other.ready(tokio::io::Interest::READABLE);
        tokio::time::timeout(AMPLE, ready).await.expect("in time").expect("readable");
        match receive(&other, &mut buffer) {
            Ok(0) => break,
            Ok(len) => read.extend_from_slice(&buffer[..len]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    assert!(b"cd".starts_with(&read) && !read.is_empty(), "{read:?}");
}

/// A caller that writes loses the link at an error, with everything that it has not read.
#[tokio::test]
async fn what_was_written_before_the_end_is_read_by_one_that_goes_on_writing() {
    for _ in 0..20 {
        let (one, other) = pair().expect("a pair");
        let last = [io::IoSlice::new(b"last")];
        while send(&one, &last).is_err() {
            one.ready(tokio::io::Interest::WRITABLE).await.expect("room");
        }
        shutdown(&one);
        let (mut read, mut buffer) = (Vec::new(), [0; 8]);
        let ended = async {
            loop {
                match send(&other, &[io::IoSlice::new(b"more")]) {
                    Ok(_) => tokio::task::yield_now().await,
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
                other.ready(tokio::io::Interest::READABLE).await.expect("readable");
                match receive(&other, &mut buffer) {
                    Ok(0) => break,
                    Ok(len) => read.extend_from_slice(&buffer[..len]),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
        };
        tokio::time::timeout(AMPLE, ended).await.expect("in time");
        assert_eq!(read, b"last");
    }
}

/// Wine allows no second one anyway.
#[test]
fn a_port_has_one_listener() {
    let here = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    let listener = listen_on(here).expect("a port");
    let address = listener.local_addr().expect("its address");
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let other = other.expect("a socket");
    other.set_reuse_address(true).expect("set");
    other.bind(&address.into()).expect_err("two have the port");
    std::net::TcpStream::connect(address).expect("connected");
    listener.set_nonblocking(false).expect("set");
    listener.accept().expect("accepted");
}

#[test]
fn clocks_only_go_forward_and_agree() {
    let (coarse, exact) = (coarse_now(), monotonic_now());
    std::thread::sleep(Duration::from_millis(60));
    let (coarse, exact) = (coarse_now() - coarse, (monotonic_now() - exact).as_millis());
    assert!(exact >= 55 && coarse >= 30, "{exact} ms, {coarse} ms");
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
}

#[tokio::test]
async fn the_end_of_a_process_is_known() {
    let mut child = std::process::Command::new("cmd")
        .args(["/c", "pause"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("a child");
    let watch = ProcessExit::of(Some(child.id()));
    let short = Duration::from_millis(20);
    assert!(tokio::time::timeout(short, watch.wait()).await.is_err(), "it lives");
    child.kill().expect("killed");
    child.wait().expect("ended");
    tokio::time::timeout(AMPLE, watch.wait()).await.expect("in time");
    assert!(tokio::time::timeout(short, ProcessExit::of(None).wait()).await.is_err());
}
