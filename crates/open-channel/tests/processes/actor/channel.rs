//! The process's own channel, and the commands for it.

use std::sync::Arc;
use std::time::Duration;

use open_channel::{Channel, Event, inspect};

use super::listener::{ListenerState, hosting};
use super::report::{say, say_event};
use super::settings::Settings;
use super::sockets::Muted;
use crate::stage::now;

#[derive(Default)]
pub(super) struct OwnChannel {
    channel: Option<Channel>,
}

impl OwnChannel {
    /// Whether this is one of the commands for the channel.
    pub(super) fn obey(
        &mut self,
        words: &[&str],
        listeners: &Arc<ListenerState>,
        muted: &Muted,
    ) -> bool {
        match *words {
            ["open", ref settings @ ..] => self.open(settings, listeners, muted.clone()),
            ["join"] => self.join(),
            ["join-at", at] => {
                // A timer comes later than the race that this is for.
                while now() < at.parse().unwrap() {
                    std::hint::spin_loop();
                }
                self.join();
            }
            ["status"] => self.status(),
            ["totals"] => self.totals(),
            ["directory"] => say!("directory {}", self.channel().directory().display()),
            ["look"] => look(),
            ["shut"] => self.shut(),
            ["drop-channel"] => drop(self.channel.take()),
            _ => return false,
        }
        true
    }

    /// There is none before `open` and after `drop-channel`.
    pub(super) fn get(&self) -> Option<&Channel> {
        self.channel.as_ref()
    }

    fn channel(&self) -> &Channel {
        self.get().unwrap()
    }

    fn open(&mut self, settings: &[&str], listeners: &Arc<ListenerState>, muted: Muted) {
        let settings = Settings::parse(settings);
        let built = if settings.is_peer() {
            settings.builder().build_peer()
        } else {
            hosting(settings.builder(), listeners)
        };
        let channel = match built {
            Ok(channel) => channel,
            Err(error) => return say!("error open {error}"),
        };
        let mut events = channel.events();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let Event::HostLost { .. } | Event::HandedOver { .. } = event {
                    muted.take();
                }
                say_event(event);
            }
        });
        self.channel = Some(channel);
        say!("opened");
    }

    fn join(&self) {
        let channel = self.channel().clone();
        tokio::spawn(async move {
            match channel.join().await {
                Ok(role) => say!("joined {role} {}", channel.generation()),
                Err(error) => say!("error join {error}"),
            }
        });
    }

    fn status(&self) {
        let channel = self.channel();
        say!("status {} {} {}", channel.role(), channel.generation(), channel.state());
    }

    fn totals(&self) {
        let sums = self.channel().stats().totals();
        let age = |age: Option<Duration>| age.map_or(-1, |age| age.as_millis().cast_signed());
        say!(
            "totals {} {} {} {} {} {}",
            sums.stalled,
            sums.unacknowledged,
            age(sums.oldest_unacknowledged),
            sums.held,
            age(sums.oldest_unhandled),
            sums.redelivered
        );
    }

    fn shut(&self) {
        let channel = self.channel().clone();
        tokio::spawn(async move {
            match channel.close().await {
                Ok(()) => say!("shut"),
                Err(error) => say!("error shut {error}"),
            }
        });
    }
}

/// Asks every host in the runtime directory of this process's environment.
fn look() {
    tokio::spawn(async {
        for found in inspect::channels(None).unwrap() {
            match found.ask(1, Duration::from_secs(30)).await {
                Ok(status) => say!("answered {} {}", status.host.name, status.host.sockets),
                Err(unanswered) => say!("unanswered {unanswered}"),
            }
        }
    });
}
