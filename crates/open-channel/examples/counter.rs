//! A counter that stays right when the process that holds it is killed.
//!
//! Increments that a dead host had not acknowledged are delivered again to the next one, so an
//! increment may come twice. Each has a stable id (socket, number), and the numbers of one socket
//! come in order. The state has the last number applied of each socket, in the same file as the
//! value. Both change at once: write aside, then rename.
//!
//! That outlives a process. To outlive a power cut, sync the file too, or use a database.
//!
//! In two terminals; `kill -9` the host, and start it again:
//!
//! ```text
//! $ cargo run -p open-channel --example counter -- /tmp/counter.state 100000
//! hosting, generation 1
//! added 100000, the counter is at 100000
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use open_channel::{Channel, Event, MessageId, Socket};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let (Some(file), Some(count)) = (args.next(), args.next()) else {
        return Err("usage: counter STATE_FILE COUNT".into());
    };
    // One handler at a time changes the file.
    let file = Arc::new(Mutex::new(PathBuf::from(file)));
    let channel =
        Channel::new("example-counter", move |socket| keep_count(socket, Arc::clone(&file)))?;
    let mut events = channel.events();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let Event::BecameHost { generation, .. } = event {
                println!("hosting, generation {generation}");
            }
        }
    });
    let socket = channel.connect();
    let count: u64 = count.parse()?;
    let (sender, receiver) = socket.split();
    tokio::spawn(async move {
        for _ in 0..count {
            sender.send("1").await?;
        }
        sender.finish()
    });
    // Each answer is the number of the increment and the value after it. After a failover some come
    // twice.
    let (mut answered, mut value) = (0, String::from("0"));
    while let Some(answer) = receiver.recv().await? {
        let answer = String::from_utf8_lossy(&answer.into_bytes()).into_owned();
        let (number, at) = answer.split_once(' ').ok_or("not an answer")?;
        (answered, value) = (number.parse()?, at.to_owned());
    }
    println!("added {answered}, the counter is at {value}");
    if count == 0 {
        tokio::signal::ctrl_c().await?; // only hosts
    }
    Ok(channel.close().await?)
}

/// Runs in the process that hosts, once for each socket that connects.
async fn keep_count(socket: Socket, file: Arc<Mutex<PathBuf>>) {
    while let Ok(Some(message)) = socket.recv().await {
        let step = String::from_utf8_lossy(&message).parse().unwrap_or(0);
        let applied =
            apply(&file.lock().unwrap_or_else(PoisonError::into_inner), message.id(), step);
        match applied {
            Ok(value) => drop(socket.send(format!("{} {value}", message.id().seq)).await),
            // Not acknowledged, and so not handled.
            Err(error) => panic!("the counter's state: {error}"),
        }
        message.ack(); // now that it is in the file and its answer is sent
    }
}

/// Adds `step` unless message `id` was applied before; returns the value.
fn apply(file: &Path, id: MessageId, step: u64) -> Result<u64, Failure> {
    // The first line is the value, each other one a socket and its last number.
    let text = if file.exists() { std::fs::read_to_string(file)? } else { String::from("0\n") };
    let (value, rest) = text.split_once('\n').ok_or("no state")?;
    let mut value: u64 = value.parse()?;
    let mut last: HashMap<&str, u64> = HashMap::new();
    for line in rest.lines() {
        let (socket, seq) = line.split_once(' ').ok_or("no state")?;
        last.insert(socket, seq.parse()?);
    }
    let socket = id.socket.to_string();
    if last.get(&*socket).is_some_and(|&seq| id.seq <= seq) {
        return Ok(value); // redelivered, and already counted
    }
    value += step;
    last.insert(&socket, id.seq);
    let lines: String = last.iter().map(|(socket, seq)| format!("{socket} {seq}\n")).collect();
    let aside = file.with_extension("new");
    std::fs::write(&aside, format!("{value}\n{lines}"))?;
    std::fs::rename(&aside, file)?;
    Ok(value)
}
