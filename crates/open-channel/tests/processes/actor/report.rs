//! Lines on stdout, each with the time of the monotonic clock in front.

use std::io::Write;

use open_channel::{Event, Stall};

use crate::stage::now;

/// Prints a line for the test; in one write, so that it arrives whole or not at all.
macro_rules! say {
    ($($words:tt)*) => { $crate::actor::report::write_line(format_args!($($words)*)) };
}
pub(crate) use say;

pub(crate) fn write_line(words: std::fmt::Arguments<'_>) {
    let line = format!("{} {}\n", now(), words.to_string().replace('\n', " "));
    // A test that is over reads no more.
    if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
        std::process::exit(4);
    }
}

/// Prints an event of the channel.
pub(super) fn say_event(event: Event) {
    match event {
        Event::Connected { role, generation, .. } => say!("event connected {role} {generation}"),
        Event::BecameHost { generation, .. } => say!("event became-host {generation}"),
        Event::HostLost { generation, .. } => say!("event host-lost {generation}"),
        Event::HandedOver { generation, .. } => say!("event handed-over {generation}"),
        Event::Fenced { generation, .. } => say!("event fenced {generation}"),
        Event::Stalled(stall) => {
            let Stall { socket, generation, oldest, messages, .. } = stall;
            say!("event stalled {socket} {generation} {messages} {}", oldest.as_millis());
        }
        Event::StallEnded(end) => {
            say!(
                "event stall-ended {} {} {}",
                end.socket,
                end.acknowledged,
                end.lasted.as_millis()
            );
        }
        Event::Closed { error: None, .. } => say!("event closed"),
        Event::Closed { error: Some(error), .. } => say!("event closed {error}"),
        other => say!("event unknown {other:?}"),
    }
}

/// Prints the library's log from now on.
pub(super) fn print_the_log() {
    tracing_subscriber::fmt()
        .without_time()
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_writer(|| Log)
        .init();
}

/// Prints an event of the library as `log <event>`.
struct Log;

impl Write for Log {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        say!("log {}", String::from_utf8_lossy(event).trim());
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
