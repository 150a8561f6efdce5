//! The Rust twin of `test/fixtures/member.js`: on the same channel as Node processes, it writes
//! numbered messages, hosts when it comes to that, and keeps the ledger. Leaves when its standard
//! input ends.
//!
//! ```text
//! LEDGER=/tmp/ledger CHANNEL=traffic EVERY=1 DELAY=0 member
//! ```
//!
//! It writes a message every `EVERY` milliseconds, and as host handles each after up to `DELAY`
//! milliseconds.

use std::{
    env,
    fs::{File, OpenOptions},
    io::Write,
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use open_channel::{Channel, Event, Events, Message, Socket};
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ledger = Arc::new(Ledger::open(&env::var("LEDGER")?)?);
    let host = Arc::clone(&ledger);
    let channel = Channel::builder(env::var("CHANNEL")?)
        .build(move |socket| serve(socket, Arc::clone(&host)))?;
    // Before it takes part: it may host at once.
    tokio::spawn(note_hosting(channel.events(), Arc::clone(&ledger)));

    let socket = Arc::new(channel.connect());
    let replies = Arc::clone(&socket);
    tokio::spawn(async move {
        while let Ok(Some(reply)) = replies.recv().await {
            reply.ack();
        }
    });

    let (mut sent, writer) = (0, me());
    let written = Arc::new(AtomicU64::new(0));
    let noting = tokio::spawn(note_acknowledged(
        Arc::clone(&socket),
        Arc::clone(&written),
        Arc::clone(&ledger),
    ));
    let mut tick = tokio::time::interval(Duration::from_millis(number("EVERY", 1)));
    let mut input = tokio::io::stdin();
    let mut byte = [0];
    loop {
        tokio::select! {
            end = input.read(&mut byte) => if end? == 0 { break },
            _ = tick.tick() => {
                sent += 1;
                socket.send(format!(r#"{{"writer":"{writer}","n":{sent}}}"#)).await?;
                written.store(sent, Ordering::Release);
                if sent == 1 {
                    channel.join().await?;
                    ledger.note(&format!(r#"{{"connected":{}}}"#, process::id()));
                }
            }
        }
    }
    noting.abort();
    socket.flush().await?;
    ledger.note(&format!(r#"{{"finished":{sent},"writer":"{writer}"}}"#));
    channel.close().await?;
    Ok(())
}

/// Says again and again up to where everything is acknowledged.
async fn note_acknowledged(socket: Arc<Socket>, written: Arc<AtomicU64>, ledger: Arc<Ledger>) {
    loop {
        let through = written.load(Ordering::Acquire);
        if socket.flush().await.is_err() {
            return;
        }
        ledger.note(&format!(r#"{{"acknowledged":{through},"writer":"{}"}}"#, me()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn note_hosting(mut events: Events, ledger: Arc<Ledger>) {
    while let Some(event) = events.recv().await {
        if let Event::BecameHost { generation, .. } = event {
            ledger.note(&format!(r#"{{"host":{},"generation":{generation}}}"#, process::id()));
        }
    }
}

/// Handles every message of one connection in its own time.
async fn serve(socket: Socket, ledger: Arc<Ledger>) {
    let (socket, delay) = (Arc::new(socket), number("DELAY", 0));
    while let Ok(Some(message)) = socket.recv().await {
        if delay == 0 {
            handle(&socket, message, &ledger).await;
            continue;
        }
        let (socket, ledger) = (Arc::clone(&socket), Arc::clone(&ledger));
        tokio::spawn(async move {
            // As good as random: the numbers follow each other, and so no two of them wait alike.
            let wait = message.id().seq.wrapping_mul(2_654_435_761) % (delay * 1000);
            tokio::time::sleep(Duration::from_micros(wait)).await;
            handle(&socket, message, &ledger).await;
        });
    }
}

/// Notes a message, answers, and acknowledges it.
async fn handle(socket: &Socket, message: Message, ledger: &Ledger) {
    let text = String::from_utf8_lossy(&message);
    // {"writer":"…","n":…} becomes {"handled":…,"writer":"…",…}
    let numbered = text
        .strip_prefix(r#"{"writer":""#)
        .and_then(|rest| rest.strip_suffix('}'))
        .and_then(|rest| rest.split_once(r#"","n":"#));
    if let Some((writer, n)) = numbered {
        let (redelivered, by) = (message.redelivered(), process::id());
        ledger.note(&format!(
            r#"{{"handled":{n},"writer":"{writer}","redelivered":{redelivered},"by":"{by}.0"}}"#
        ));
        let _ = socket.send(format!(r#"{{"reply":{n}}}"#)).await;
    }
    message.ack();
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn me() -> String {
    format!("{}.0", process::id())
}

/// Whole lines, appended by many processes to one file.
struct Ledger(File);

impl Ledger {
    fn open(path: &str) -> std::io::Result<Self> {
        OpenOptions::new().append(true).open(path).map(Self)
    }

    fn note(&self, line: &str) {
        let _ = (&self.0).write_all(format!("{line}\n").as_bytes());
    }
}
