//! Messages without end, or many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use open_channel::{Channel, Error, Message, Socket};

use super::numbered::numbered;
use super::report::say;
use crate::mixture;

/// A stream asks for acknowledgement of everything after this many messages.
const FLUSH_EVERY: u64 = 100;

/// Numbered messages, with ballast if need be, until enough or stopped. They are flushed now
/// and then and at the end.
pub(super) async fn stream(
    name: String,
    socket: Arc<Socket>,
    stop: Arc<AtomicBool>,
    count: u64,
    size: usize,
) {
    let mut accepted = 0;
    while accepted < count && !stop.load(Ordering::Relaxed) {
        match socket.send(numbered(accepted + 1, size)).await {
            Ok(id) => accepted = id.seq,
            Err(error) => return say!("error stream {name} {error}"),
        }
        if accepted % FLUSH_EVERY == 0 {
            if let Err(error) = socket.flush().await {
                return say!("error stream {name} {error}");
            }
            say!("flushed {name} {accepted}");
        }
    }
    match socket.flush().await {
        Ok(()) => say!("streamed {name} {accepted}"),
        Err(error) => say!("error stream {name} {error}"),
    }
}

/// Sends without end; reports when the outbox was full for the first time.
pub(super) async fn fill(name: String, socket: Arc<Socket>, size: usize) {
    let payload = bytes::Bytes::from(vec![b'x'; size]);
    let mut reported = false;
    loop {
        let sent = match socket.try_send(payload.clone()) {
            Err(refused) if matches!(refused.error, Error::Full) => {
                if !reported {
                    reported = true;
                    say!("full {name}");
                }
                socket.send(payload.clone()).await
            }
            sent => sent,
        };
        if let Err(error) = sent {
            return say!("error fill {name} {error}");
        }
        tokio::task::yield_now().await;
    }
}

/// Sockets of which each gets ten messages through.
pub(super) async fn connect_many(channel: Channel, count: usize) {
    let sockets: Vec<_> = (0..count).map(|_| channel.connect()).collect();
    for number in 1..=10 {
        for socket in &sockets {
            if let Err(error) = socket.send(format!("n {number}")).await {
                return say!("error many {error}");
            }
        }
    }
    for socket in &sockets {
        if let Err(error) = socket.flush().await {
            return say!("error many {error}");
        }
    }
    say!("many {count}");
    std::future::pending::<()>().await;
    drop(sockets);
}

/// One socket after the other that gets a message and an answer through, and is closed.
pub(super) async fn connect_and_close(channel: Channel, times: usize) {
    for _ in 0..times {
        let socket = channel.connect();
        let sent = socket.send(mixture::message(1)).await.map(drop);
        let answered = socket.recv().await.map(|answer| answer.map(Message::ack));
        if let (Ok(()), Ok(Some(())), Ok(())) = (sent, answered, socket.close().await) {
            continue;
        }
        say!("error close");
    }
    say!("closed {times}");
}
