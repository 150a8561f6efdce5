//! The handler of each socket when this process hosts.

use std::sync::{Arc, Mutex};

use open_channel::{Builder, Channel, Error, Message, Socket};
use tokio::sync::Notify;

use super::numbered::{check, text};
use super::panicking::AskedTo;
use super::report::say;
use super::traffic;
use crate::mixture;

/// One message of a flood, in bytes.
const FLOOD: usize = 64 * 1024;

/// State that the listeners of this process share with its commands.
#[derive(Default)]
pub(super) struct ListenerState {
    /// Messages that a listener took and does not acknowledge.
    held: Mutex<Vec<Message>>,
    /// Answers may be given.
    answer: Notify,
}

impl ListenerState {
    /// Whether this is one of the commands for listeners.
    pub(super) fn obey(&self, words: &[&str]) -> bool {
        match *words {
            ["answer"] => self.answer.notify_one(),
            ["release"] => self.release(),
            _ => return false,
        }
        true
    }

    fn release(&self) {
        let held = std::mem::take(&mut *self.held.lock().unwrap());
        let count = held.len();
        held.into_iter().for_each(Message::ack);
        say!("released {count}");
    }
}

/// A channel whose listeners share `state` when this process hosts it.
pub(super) fn hosting(builder: Builder, state: &Arc<ListenerState>) -> Result<Channel, Error> {
    let state = Arc::clone(state);
    builder.build(move |socket| listen(socket, Arc::clone(&state)))
}

/// Handles the messages of one socket. A message's first word is its command.
async fn listen(socket: Socket, state: Arc<ListenerState>) {
    let id = socket.id();
    say!("accepted {id}");
    let socket = Arc::new(socket);
    loop {
        let message = match socket.recv().await {
            Ok(Some(message)) => message,
            Ok(None) => return say!("ended {id}"),
            Err(error) => return say!("failed {id} {error}"),
        };
        let text = text(&message);
        if text.is_empty() || text.starts_with("n ") && text.split(' ').count() == 3 {
            mixture::answer(&socket, message.id().seq, message.redelivered(), &message).await;
            message.ack();
            return mixture::answer_all(&socket).await;
        }
        check(&text, &message);
        let (generation, seq, redelivered) =
            (socket.generation(), message.id().seq, message.redelivered());
        assert_eq!(message.id().socket, id);
        let mut words = text.split(' ');
        let what = words.next();
        let line =
            format!("handled {generation} {id} {seq} {redelivered} {} {text}", message.len());
        if what == Some("hold") {
            // The reader of the line may ask for the release at once.
            let mut held = state.held.lock().unwrap();
            say!("{line}");
            held.push(message);
            continue;
        }
        say!("{line}");
        match what {
            Some("panic") => std::panic::panic_any(AskedTo),
            Some("finish") => socket.finish().unwrap(),
            // A fault that only this host has; its other tasks go on elsewhere.
            Some("loop") if !redelivered => tokio::task::block_in_place(|| {
                loop {
                    std::hint::spin_loop();
                }
            }),
            // Never comes back for another one.
            Some("stall") => std::future::pending().await,
            Some("ask") => {
                state.answer.notified().await;
                for answer in 1..=words.next().unwrap().parse::<u64>().unwrap() {
                    if let Err(error) = socket.send(format!("answer {answer}")).await {
                        say!("error answer {id} {error}");
                    }
                }
                say!("answered {id}");
            }
            Some("which-link") => match socket.link() {
                Some(link) => say!("link-of {id} {link}"),
                None => say!("link-of {id} none"),
            },
            Some("flood") => {
                drop(tokio::spawn(traffic::fill("flood".into(), Arc::clone(&socket), FLOOD)))
            }
            _ => {}
        }
        message.ack();
    }
}
