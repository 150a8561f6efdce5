//! The Rust twin of `test/fixtures/member.js`: on the same channel as Node processes, it writes numbered messages,
//! hosts when it comes to that, and keeps the ledger. Leaves when its standard input ends.
//!
//! ```text
//! LEDGER=/tmp/ledger CHANNEL=traffic member
//! ```

use std::{
    env,
    fs::{File, OpenOptions},
    io::Write,
    process,
    sync::Arc,
    time::Duration,
};

use open_channel::{Channel, Scope, Socket};
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ledger = Arc::new(Ledger::open(&env::var("LEDGER")?)?);
    let host = Arc::clone(&ledger);
    let channel = Channel::builder(env::var("CHANNEL")?)
        .scope(Scope::User)
        .build(move |socket| serve(socket, Arc::clone(&host)))?;

    let socket = Arc::new(channel.connect());
    let replies = Arc::clone(&socket);
    tokio::spawn(async move {
        while let Ok(Some(reply)) = replies.recv().await {
            reply.ack();
        }
    });

    let (mut sent, writer) = (0, me());
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let mut input = tokio::io::stdin();
    let mut byte = [0];
    loop {
        tokio::select! {
            end = input.read(&mut byte) => if end? == 0 { break },
            _ = tick.tick() => {
                sent += 1;
                socket.send(format!(r#"{{"writer":"{writer}","n":{sent}}}"#)).await?;
                if sent == 1 {
                    channel.join().await?;
                    ledger.note(&format!(r#"{{"connected":{}}}"#, process::id()));
                }
            }
        }
    }
    socket.flush().await?;
    ledger.note(&format!(r#"{{"finished":{sent},"writer":"{writer}"}}"#));
    channel.close().await?;
    Ok(())
}

/// Handles every message of one connection: notes it, and answers.
async fn serve(socket: Socket, ledger: Arc<Ledger>) {
    while let Ok(Some(message)) = socket.recv().await {
        let text = String::from_utf8_lossy(&message);
        // {"writer":"…","n":…} becomes {"handled":…,"writer":"…",…}
        let Some((writer, n)) = text
            .strip_prefix(r#"{"writer":""#)
            .and_then(|rest| rest.strip_suffix('}'))
            .and_then(|rest| rest.split_once(r#"","n":"#))
        else {
            message.ack();
            continue;
        };
        ledger.note(&format!(
            r#"{{"handled":{n},"writer":"{writer}","redelivered":{},"by":"{}"}}"#,
            message.redelivered(),
            me(),
        ));
        let _ = socket.send(format!(r#"{{"reply":{n}}}"#)).await;
        message.ack();
    }
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
