//! Channels besides the process's own: one command opens, uses and closes them.

use std::sync::Arc;

use open_channel::Error;

use super::listener::{ListenerState, hosting};
use super::numbered::numbered;
use super::report::{say, say_event};
use super::settings;

/// Whether this is one of its commands.
pub(super) fn obey(words: &[&str], listeners: &Arc<ListenerState>) -> bool {
    let listeners = Arc::clone(listeners);
    match *words {
        ["come-and-go", times, count] => {
            let (times, count) = (times.parse().unwrap(), count.parse().unwrap());
            tokio::spawn(again_and_again(listeners, times, count));
        }
        ["names", count] => drop(tokio::spawn(many(listeners, count.parse().unwrap()))),
        ["hold-names", count] => drop(tokio::spawn(hold(listeners, count.parse().unwrap()))),
        _ => return false,
    }
    true
}

/// Opens the channel again and again, sends numbered messages and closes it.
async fn again_and_again(listeners: Arc<ListenerState>, times: u64, count: u64) {
    for _ in 0..times {
        if let Err(error) = come_and_go(&listeners, "test".into(), count).await {
            return say!("error come-and-go {error}");
        }
    }
    say!("went");
}

/// Does the same once on each of many channels.
async fn many(listeners: Arc<ListenerState>, count: u64) {
    for name in 0..count {
        if let Err(error) = come_and_go(&listeners, format!("name {name}"), 1).await {
            return say!("error names {error}");
        }
    }
    say!("named {count}");
}

/// Joins many channels, and stays.
async fn hold(listeners: Arc<ListenerState>, count: u64) {
    let mut channels = Vec::new();
    for name in 0..count {
        let channel = hosting(settings::usual(format!("held {name}")), &listeners).unwrap();
        channel.join().await.unwrap();
        channels.push(channel);
    }
    say!("held {count}");
    std::future::pending::<()>().await;
}

async fn come_and_go(
    listeners: &Arc<ListenerState>,
    name: String,
    count: u64,
) -> Result<(), Error> {
    let channel = hosting(settings::usual(name), listeners)?;
    let mut events = channel.events();
    let reporting = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            say_event(event);
        }
    });
    let socket = channel.connect();
    say!("socket s {}", socket.id());
    for number in 1..=count {
        socket.send(numbered(number, 0)).await?;
    }
    socket.flush().await?;
    say!("flushed {} {count}", socket.id());
    channel.close().await?;
    reporting.await.unwrap();
    Ok(())
}
