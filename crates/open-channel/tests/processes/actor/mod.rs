//! The other processes: driven by lines on stdin, answering with lines on stdout, each with the
//! time of the monotonic clock in front. A message is printed before it is acknowledged.
//!
//! A process gets its surroundings from [variables]. Then it performs a scene, or obeys the
//! commands of the test. Each file here obeys the commands for the state that it holds.

mod channel;
mod denial;
mod listener;
mod machine;
pub(crate) mod numbered;
pub(crate) mod panicking;
pub(crate) mod report;
mod settings;
mod sockets;
mod surroundings;
mod traffic;
pub(crate) mod variables;
mod visits;

use std::io::BufRead;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use channel::OwnChannel;
use listener::ListenerState;
use machine::Machine;
use report::say;
use sockets::OwnSockets;
use variables::{LOG, RUNTIME, TASK};

use crate::{calls, fork, lifetime};

pub(crate) fn main() -> ! {
    panicking::print_the_others_only();
    surroundings::die_with_the_test();
    surroundings::enter();
    if std::env::var_os(LOG).is_some() {
        report::print_the_log();
    }
    let task = std::env::var(TASK).unwrap();
    if task != "commands" {
        if !fork::perform(&task) {
            lifetime::perform(&task);
        }
        std::process::exit(0);
    }
    let (sender, commands) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let _ = sender.send(line);
        }
        // The test is over, or wants this.
        std::process::exit(3);
    });
    let runtime = match std::env::var(RUNTIME).as_deref() {
        Ok("current") => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        _ => tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build(),
    };
    runtime.unwrap().block_on(Actor::default().obey(commands));
    std::process::exit(0);
}

/// The state of a process that obeys commands.
#[derive(Default)]
struct Actor {
    channel: OwnChannel,
    sockets: OwnSockets,
    listeners: Arc<ListenerState>,
    machine: Machine,
}

impl Actor {
    async fn obey(mut self, mut commands: mpsc::UnboundedReceiver<String>) {
        say!("ready");
        while let Some(command) = commands.recv().await {
            let words: Vec<&str> = command.split(' ').collect();
            match words[..] {
                ["ping"] => say!("pong"),
                ["exit"] => std::process::exit(0),
                ["return"] => return,
                ["block", millis] => block(millis.parse().unwrap()),
                ["count-calls"] => drop(std::thread::spawn(calls::count_in_a_busy_pair)),
                _ => {
                    let Self { channel, sockets, listeners, machine } = &mut self;
                    let obeyed = channel.obey(&words, listeners, sockets.muted())
                        || sockets.obey(&words, channel.get())
                        || listeners.obey(&words)
                        || visits::obey(&words, listeners)
                        || machine.obey(&words);
                    assert!(obeyed, "no such command: {command:?}");
                }
            }
        }
    }
}

/// Computes on the runtime's own thread, which can do nothing else meanwhile.
fn block(millis: u64) {
    say!("blocking");
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(millis) {
        std::hint::spin_loop();
    }
    say!("unblocked");
}
