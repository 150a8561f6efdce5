//! A process's watch over its host. Only background threads use this connection, so it reports on
//! the host's process and not on its application.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use open_channel_proto::{Beat, ChannelKey, Frame, Heartbeat, Hello};

use crate::background;
use crate::link::Stream;
use crate::membership::handshake::{HandshakeError, exchange_hello, read_frame, write_frame};
use crate::sys::ProcessExit;

/// The way in which the host was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Its process or its connection ended.
    Gone,
    /// It announced that it gives up hosting.
    HandedOver,
    /// It lives and does not answer.
    Stuck,
}

/// The reason why there is no lifeline.
#[derive(Debug)]
pub(crate) enum NoLifeline {
    /// The host refused this process, or vanished meanwhile.
    Handshake(HandshakeError),
    /// Connected, without an answer for the host timeout, or the process that listened is known to
    /// be dead.
    Silent,
}

#[derive(Debug)]
pub(crate) struct Lifeline {
    stream: Stream,
    host: ProcessExit,
    pub(crate) generation: u64,
}

impl Lifeline {
    pub(crate) async fn open(
        stream: Stream,
        pid: Option<u32>,
        channel: ChannelKey,
        host_timeout: Duration,
    ) -> Result<Self, NoLifeline> {
        let host = ProcessExit::of(pid);
        let welcome = tokio::select! {
            biased;
            answer = exchange_hello(&stream, Hello::lifeline(channel), None) => answer.map_err(NoLifeline::Handshake)?,
            // A forked child may hold the dead host's listener open.
            () = host.wait() => return Err(NoLifeline::Silent),
            () = tokio::time::sleep(host_timeout) => return Err(NoLifeline::Silent),
        };
        Ok(Self { stream, host, generation: welcome.generation })
    }

    /// Resolves when the host is lost.
    pub(crate) async fn watch(&mut self, host_timeout: Duration) -> Loss {
        let stream = &self.stream;
        let heard = AtomicBool::new(false);
        let listening = async {
            loop {
                match read_frame(stream).await {
                    Ok(Frame::Pong { .. }) => heard.store(true, Ordering::Relaxed),
                    Ok(Frame::GoAway) => return Loss::HandedOver,
                    Ok(_) | Err(_) => return Loss::Gone,
                }
            }
        };
        let beating = async {
            let started = Instant::now();
            let mut heartbeat = Heartbeat::new(host_timeout);
            let mut ticks = background::beats(heartbeat.interval());
            loop {
                ticks.tick().await;
                if heard.swap(false, Ordering::Relaxed) {
                    heartbeat.heard();
                }
                match heartbeat.tick(started.elapsed()) {
                    Beat::Stuck => return Loss::Stuck,
                    // The reader reports a host that is gone, after the host's last frames.
                    Beat::Ping { nonce } => drop(write_frame(stream, &Frame::Ping { nonce }).await),
                }
            }
        };
        tokio::select! {
            biased;
            loss = listening => loss,
            loss = beating => loss,
            () = self.host.wait() => Loss::Gone,
        }
    }
}
