//! The sockets of this process, by their names, and the commands for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use open_channel::{Channel, ConnectOptions, Socket, TryRecvError};

use super::numbered::text;
use super::report::say;
use super::traffic;
use crate::mixture;

#[derive(Default)]
pub(super) struct OwnSockets {
    sockets: HashMap<String, OwnSocket>,
    muted: Muted,
}

struct OwnSocket {
    socket: Arc<Socket>,
    /// Set when its stream is to end.
    stop: Arc<AtomicBool>,
}

/// Sockets that are read only when the host is lost.
#[derive(Clone, Default)]
pub(super) struct Muted(Arc<Mutex<HashMap<String, Arc<Socket>>>>);

impl Muted {
    pub(super) fn take(&self) {
        for (name, socket) in self.0.lock().unwrap().iter() {
            take(name, socket);
        }
    }
}

impl OwnSockets {
    pub(super) fn muted(&self) -> &Muted {
        &self.muted
    }

    /// Whether this is one of the commands for sockets.
    pub(super) fn obey(&mut self, words: &[&str], channel: Option<&Channel>) -> bool {
        let channel = || channel.unwrap();
        match *words {
            ["connect", name, ..] => self.connect(channel(), name, words.get(2).copied()),
            ["connect-many", count] => {
                let count = count.parse().unwrap();
                tokio::spawn(traffic::connect_many(channel().clone(), count));
            }
            ["connect-and-close", times] => {
                let times = times.parse().unwrap();
                tokio::spawn(traffic::connect_and_close(channel().clone(), times));
            }
            ["send", name, ..] => self.send(name, words[2..].join(" ")),
            ["numbers", name, count] => self.stream(name, count.parse().unwrap(), 0),
            ["stream", name] => self.stream(name, u64::MAX, 0),
            ["bulk", name, count, size] => {
                self.stream(name, count.parse().unwrap(), size.parse().unwrap());
            }
            ["stop", name] => self.sockets[name].stop.store(true, Ordering::Relaxed),
            ["mix", name] => self.mix(channel(), name),
            ["fill", name, size] => {
                let (name, socket) = self.named(name);
                tokio::spawn(traffic::fill(name, socket, size.parse().unwrap()));
            }
            ["take", name] => take(name, &self.sockets[name].socket),
            ["link", name] => self.link(name),
            ["flush", name] => self.flush(name),
            ["finish", name] => self.finish(name),
            ["close", name] => self.close(name),
            ["drop", name] => drop(self.sockets.remove(name)),
            ["destroy", name] => self.sockets[name].socket.destroy(),
            _ => return false,
        }
        true
    }

    fn named(&self, name: &str) -> (String, Arc<Socket>) {
        (name.to_owned(), Arc::clone(&self.sockets[name].socket))
    }

    /// `mute`: messages are taken in when the host is lost. `once`: it does not reconnect.
    fn connect(&mut self, channel: &Channel, name: &str, how: Option<&str>) {
        let options = ConnectOptions::new().reconnect(how != Some("once"));
        let socket = Arc::new(channel.connect_with(options));
        say!("socket {name} {}", socket.id());
        if how == Some("mute") {
            self.muted.0.lock().unwrap().insert(name.into(), Arc::clone(&socket));
        } else {
            tokio::spawn(hear(name.to_owned(), Arc::clone(&socket)));
        }
        self.sockets.insert(name.into(), OwnSocket { socket, stop: Arc::default() });
    }

    fn send(&self, name: &str, text: String) {
        let (name, socket) = self.named(name);
        tokio::spawn(async move {
            match socket.send(text).await {
                Ok(id) => say!("sent {name} {}", id.seq),
                Err(error) => say!("error send {name} {error}"),
            }
        });
    }

    fn stream(&self, name: &str, count: u64, size: usize) {
        let (name, socket) = self.named(name);
        let stop = Arc::clone(&self.sockets[&name].stop);
        stop.store(false, Ordering::Relaxed);
        tokio::spawn(traffic::stream(name, socket, stop, count, size));
    }

    /// A new socket with messages of all sizes in both directions.
    fn mix(&mut self, channel: &Channel, name: &str) {
        let socket = Arc::new(channel.connect());
        say!("socket {name} {}", socket.id());
        let own = OwnSocket { socket, stop: Arc::default() };
        tokio::spawn(mixture::send_and_check(
            name.to_owned(),
            Arc::clone(&own.socket),
            Arc::clone(&own.stop),
        ));
        self.sockets.insert(name.into(), own);
    }

    fn link(&self, name: &str) {
        match self.sockets[name].socket.link() {
            Some(link) => say!("link {name} {link}"),
            None => say!("link {name} none"),
        }
    }

    fn flush(&self, name: &str) {
        let (name, socket) = self.named(name);
        tokio::spawn(async move {
            match socket.flush().await {
                Ok(()) => say!("flush {name}"),
                Err(error) => say!("error flush {name} {error}"),
            }
        });
    }

    fn finish(&self, name: &str) {
        match self.sockets[name].socket.finish() {
            Ok(()) => say!("finished {name}"),
            Err(error) => say!("error finish {name} {error}"),
        }
    }

    fn close(&self, name: &str) {
        let (name, socket) = self.named(name);
        tokio::spawn(async move {
            match socket.close().await {
                Ok(()) => say!("closed {name}"),
                Err(error) => say!("error close {name} {error}"),
            }
        });
    }
}

/// The undeliverable messages of a socket of this process.
async fn hear(name: String, socket: Arc<Socket>) {
    loop {
        match socket.recv().await {
            Ok(Some(message)) => {
                say!("reply {name} {} {}", message.id().seq, text(&message));
                message.ack();
            }
            Ok(None) => return say!("end {name}"),
            Err(error) => return say!("error recv {name} {error}"),
        }
    }
}

/// Everything that is there already.
fn take(name: &str, socket: &Socket) {
    loop {
        match socket.try_recv() {
            Ok(Some(message)) => {
                say!("reply {name} {} {}", message.id().seq, text(&message));
                message.ack();
            }
            Ok(None) => return say!("end {name}"),
            Err(TryRecvError::Empty) => return say!("taken {name}"),
            Err(error) => return say!("error recv {name} {error}"),
        }
    }
}
