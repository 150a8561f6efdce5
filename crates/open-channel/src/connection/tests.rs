use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;
use open_channel_proto::{
    Features, Frame, Limits, MAX_BODY, Session, SocketId, VERSION_MAX, decode,
};
use tokio::runtime::Handle;

use super::Connection;
use super::waiters::{WaiterKey, WakeMode};
use crate::link::{Link, local};

/// The application acknowledges what it has answered, and waits for the next message.
#[tokio::test]
async fn an_acknowledgement_travels_with_the_answer_to_the_next_message() {
    let (near, far) = local::pair().expect("a pair");
    let connection = connected(near);
    for seq in 1..=5 {
        let waiting = Arc::clone(&connection);
        let next = tokio::spawn(async move {
            let mut key = WaiterKey::default();
            poll_fn(|cx| waiting.poll_recv(cx, &mut key, WakeMode::Task)).await
        });
        // It waits before there is a message, and is polled again when it is woken.
        tokio::task::yield_now().await;
        far.write(&[IoSlice::new(&message(seq))]).expect("room");
        let delivered = next.await.expect("no panic").expect("a message").expect("not the end");
        assert_eq!(delivered.seq, seq);
        assert_eq!(frames(&far), [""; 0], "something travelled alone");
        connection.try_send(Bytes::from_static(b"answer")).expect("room");
        let acknowledgement = (seq > 1).then(|| format!("acknowledged {}", seq - 1));
        let mut expected: Vec<_> = acknowledgement.into_iter().collect();
        expected.push(format!("message {seq}"));
        let mut came = frames(&far);
        came.sort();
        assert_eq!(came, expected);
        connection.handled(seq..seq + 1);
    }
}

fn connected(link: Link) -> Arc<Connection> {
    let limits = Limits::new(1 << 20, 1 << 20, 1 << 20);
    let session = Session::new(SocketId(7), limits);
    let hello = session.hello([0; 16], Features::default());
    let (_, welcome) = Session::accept(&hello, VERSION_MAX, 1, limits).expect("a fine hello");
    let connection = Connection::new(session, None, Handle::current());
    connection.attach(Arc::new(link), None, &welcome).expect("a fine welcome");
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
fn frames(link: &Link) -> Vec<String> {
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
