use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use open_channel_proto::{
    Features, Frame, Limits, MAX_BODY, Session, SocketId, VERSION_MAX, decode,
};
use tokio::runtime::Handle;

use super::Connection;
use super::waiters::{WaiterKey, WakeMode};
use crate::error::Error;
use crate::link::{Link, local};
use crate::sys::Registration;

/// Longer than anything here takes on a busy machine.
const AMPLE: Duration = Duration::from_secs(30);

/// The application acknowledges what it has answered, and waits for the next message.
#[tokio::test]
async fn an_acknowledgement_travels_with_the_answer_to_the_next_message() {
    let (connection, far) = pair().await;
    for seq in 1..=5 {
        let waiting = Arc::clone(&connection);
        let next = tokio::spawn(async move {
            let mut key = WaiterKey::default();
            poll_fn(|cx| waiting.poll_recv(cx, &mut key, WakeMode::Task)).await
        });
        // It waits before there is a message, and is polled again when it is woken.
        tokio::task::yield_now().await;
        put(&far, &message(seq)).await;
        let delivered = next.await.expect("no panic").expect("a message").expect("not the end");
        assert_eq!(delivered.seq, seq);
        assert_eq!(arrived(&far), [""; 0], "something travelled alone");
        connection.try_send(Bytes::from_static(b"answer")).expect("room");
        let acknowledgement = (seq > 1).then(|| format!("acknowledged {}", seq - 1));
        let mut expected: Vec<_> = acknowledgement.into_iter().collect();
        expected.push(format!("message {seq}"));
        let mut came = Vec::new();
        while came.len() < expected.len() {
            readable(&far).await;
            came.extend(arrived(&far));
        }
        came.sort();
        assert_eq!(came, expected);
        connection.handled(seq..seq + 1);
    }
}

/// A link whose buffer is full, or whose last write is under way, takes no frame at once.
#[tokio::test]
async fn the_frame_that_ends_a_busy_link_arrives() {
    for hands_over in [true, false] {
        let (connection, far) = pair().await;
        while !connection.waits_to_write() {
            connection.try_send(vec![7; 1 << 14].into()).expect("room in the outbox");
            connection.write();
        }
        if hands_over {
            drop(connection.say_go_away());
        } else {
            put(&far, &[0xff; 64]).await;
            broken_by_what_came(&connection).await;
        }
        assert!(!connection.is_connected());
        let read = tokio::time::timeout(AMPLE, last_frame(far)).await.expect("in time");
        let expected = if hands_over { "GoAway" } else { "Reset" };
        assert!(read.starts_with(expected), "the last frame is {read}");
    }
}

async fn broken_by_what_came(connection: &Arc<Connection>) {
    let mut key = WaiterKey::default();
    let received = poll_fn(|cx| connection.poll_recv(cx, &mut key, WakeMode::Task));
    let ended = tokio::time::timeout(AMPLE, received).await.expect("in time");
    assert!(matches!(ended, Err(Error::Protocol(_))), "{ended:?}");
}

/// The last frame before the end of the link.
async fn last_frame(link: Arc<Link>) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; MAX_BODY]);
    let mut last = String::new();
    loop {
        readable(&link).await;
        match link.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        while let Some((frame, len)) = decode(&bytes, MAX_BODY).expect("frames") {
            last = format!("{frame:?}");
            bytes.drain(..len);
        }
    }
    assert!(bytes.is_empty(), "the end of a frame is missing");
    last
}

/// A connection, and the link on its other side.
async fn pair() -> (Arc<Connection>, Arc<Link>) {
    let (near, far) = local::pair().expect("a pair");
    let near = Arc::new(near);
    // A new pipe takes nothing until its runtime has looked at it.
    let stream = Registration::new(near.stream_source()).expect("watched");
    let _ready = stream.writable().await.expect("writable");
    (connected(near), Arc::new(far))
}

async fn readable(link: &Arc<Link>) {
    let stream = Registration::new(link.stream_source()).expect("watched");
    let ready = tokio::time::timeout(AMPLE, stream.readable()).await.expect("in time");
    ready.expect("readable").clear_ready();
}

/// Writes all of it, which is short.
async fn put(link: &Arc<Link>, bytes: &[u8]) {
    let stream = Registration::new(link.stream_source()).expect("watched");
    loop {
        stream.writable().await.expect("writable").clear_ready();
        match link.write(&[IoSlice::new(bytes)]) {
            Ok(written) => return assert_eq!(written, bytes.len()),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
}

fn connected(link: Arc<Link>) -> Arc<Connection> {
    let limits = Limits::new(1 << 20, 1 << 20, 1 << 20);
    let session = Session::new(SocketId(7), limits);
    let hello = session.hello([0; 16], Features::default());
    let (_, welcome) = Session::accept(&hello, VERSION_MAX, 1, limits).expect("a fine hello");
    let connection = Connection::new(session, None, Handle::current());
    connection.attach(link, None, &welcome).expect("a fine welcome");
    connection
}

/// A frame with a whole message.
fn message(seq: u64) -> Vec<u8> {
    const DATA: u8 = 4;
    const WHOLE: u8 = 1 | 2;
    const ATTEMPT: u8 = 1;
    let body = [&seq.to_le_bytes()[..], b"question"].concat();
    let len = u32::try_from(body.len()).expect("a short one").to_le_bytes();
    [&len[..], &[DATA, WHOLE, ATTEMPT, 0], &body].concat()
}

/// What has arrived, frame by frame.
fn arrived(link: &Link) -> Vec<String> {
    let mut buffer = [0; 1 << 10];
    let read = match link.read(&mut buffer) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => panic!("{error}"),
    };
    let mut rest = &buffer[..read];
    let mut found = Vec::new();
    while let Some((frame, len)) = decode(rest, MAX_BODY).expect("frames") {
        rest = &rest[len..];
        found.push(match frame {
            Frame::Ack { through } => format!("acknowledged {through}"),
            Frame::Data { seq, .. } => format!("message {seq}"),
            other => format!("{other:?}"),
        });
    }
    found
}
