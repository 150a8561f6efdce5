//! The measurements.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use open_channel::blocking::{Channel, Socket};
use tempfile::TempDir;

use super::ends::{End, Message};
use super::kind::Measure;
use super::plain;
use super::process::Worker;
use super::results::{Numbers, Row};
use super::worker::{Role, builder};

/// Messages before those that count.
const WARM_UP: usize = 200;
/// Round trips and connections at most, so that all of them are remembered.
const MOST: usize = 1_000_000;
/// Messages between two looks at the clock.
const BETWEEN_LOOKS: u64 = 64;
/// Processes that each message of a fan-out goes to.
const READERS: usize = 4;
/// Only against hanging.
const LIMIT: Duration = Duration::from_secs(30);
/// Hosts that are killed for each second of the time for a number.
const KILLS_PER_SECOND: f64 = 5.0;

pub(super) struct Bench<F> {
    /// For each number.
    time: Duration,
    /// Is told what is measured.
    tell: F,
    /// Each measurement has a directory in it.
    place: TempDir,
}

impl<F: Fn(&str)> Bench<F> {
    pub(super) fn new(time: Duration, tell: F) -> Result<Self> {
        let place = tempfile::tempdir().context("could not make a directory")?;
        Ok(Self { time, tell, place })
    }

    /// All of these; without any, all there are.
    pub(super) fn run(&self, only: &[Measure]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for measure in Measure::ALL {
            if !only.is_empty() && !only.contains(&measure) {
                continue;
            }
            match measure {
                Measure::RoundTrip => {
                    for len in [64, 64 << 10] {
                        rows.push(self.row(measure, Some(len), &|end| self.round_trips(end, len))?);
                    }
                }
                Measure::Rate => {
                    for len in [64, 1 << 10, 64 << 10] {
                        rows.push(self.row(measure, Some(len), &|end| self.rate(&mut [end], len))?);
                    }
                }
                Measure::Connect => rows.push(self.connect()?),
                Measure::FanOut => rows.push(self.fan_out(64)?),
                Measure::Failover => rows.push(self.failover()?),
            }
        }
        Ok(rows)
    }

    fn directory(&self, name: &str) -> Result<TempDir> {
        (self.tell)(name);
        tempfile::tempdir_in(&self.place).context("could not make a directory")
    }

    /// The same over a channel and over a plain socket.
    fn row(
        &self,
        measure: Measure,
        len: Option<usize>,
        run: &dyn Fn(&mut dyn End) -> Result<Numbers>,
    ) -> Result<Row> {
        let dir = self.directory(measure.word())?;
        let channel = {
            let _host = Worker::start(Role::ChannelHost, dir.path())?;
            run(&mut self.socket(dir.path())?.1)?
        };
        let plain = {
            let _host = Worker::start(Role::PlainHost, dir.path())?;
            run(&mut plain::connect(dir.path())?)?
        };
        Ok(Row { measure, len, channel, plain: Some(plain) })
    }

    fn socket(&self, dir: &Path) -> Result<(Channel, Socket)> {
        let channel = Channel::build_peer(builder(dir))?;
        let socket = channel.connect();
        channel.join()?;
        Ok((channel, socket))
    }

    fn round_trips(&self, end: &mut dyn End, len: usize) -> Result<Numbers> {
        let message = Message::Echo.of(len);
        let mut trip = || -> io::Result<Duration> {
            let started = Instant::now();
            end.send(&message)?;
            let back = end.recv()?;
            debug_assert_eq!(back, message.len());
            Ok(started.elapsed())
        };
        for _ in 0..WARM_UP {
            trip()?;
        }
        self.times(&mut trip)
    }

    /// Repeats it for as long as a number takes.
    fn times(&self, once: &mut dyn FnMut() -> io::Result<Duration>) -> Result<Numbers> {
        let (started, mut times) = (Instant::now(), Vec::new());
        while times.is_empty() || started.elapsed() < self.time && times.len() < MOST {
            times.push(once()?);
        }
        Ok(Numbers::of_times(times))
    }

    /// Each message goes to all ends.
    fn rate(&self, ends: &mut [&mut dyn End], len: usize) -> Result<Numbers> {
        let message = Message::Plain.of(len);
        let mut send = |count: u64| -> io::Result<()> {
            for _ in 0..count {
                ends.iter_mut().try_for_each(|end| end.send(&message))?;
            }
            Ok(())
        };
        send(WARM_UP as u64)?;
        let (started, mut sent) = (Instant::now(), 0);
        while started.elapsed() < self.time {
            send(BETWEEN_LOOKS)?;
            sent += BETWEEN_LOOKS;
        }
        ends.iter_mut().try_for_each(|end| end.flush())?;
        let delivered = sent * ends.len() as u64;
        Ok(Numbers::of_rate(delivered as f64 / started.elapsed().as_secs_f64()))
    }

    fn connect(&self) -> Result<Row> {
        let dir = self.directory(Measure::Connect.word())?;
        let (path, message) = (dir.path(), Message::Echo.of(1));
        let there_and_back = |end: &mut dyn End| {
            end.send(&message)?;
            end.recv()
        };
        let channel = {
            let _host = Worker::start(Role::ChannelHost, path)?;
            // One process connects, as one program would: to a channel that it knows.
            let channel = Channel::build_peer(builder(path))?;
            channel.join()?;
            self.times(&mut || {
                let started = Instant::now();
                there_and_back(&mut channel.connect())?;
                Ok(started.elapsed())
            })?
        };
        let plain = {
            let _host = Worker::start(Role::PlainHost, path)?;
            self.times(&mut || {
                let started = Instant::now();
                there_and_back(&mut plain::connect(path)?)?;
                Ok(started.elapsed())
            })?
        };
        Ok(Row { measure: Measure::Connect, len: None, channel, plain: Some(plain) })
    }

    fn fan_out(&self, len: usize) -> Result<Row> {
        let dir = self.directory(Measure::FanOut.word())?;
        let path = dir.path();
        let channel = {
            let (accepted, sockets) = channel();
            let host = Channel::build(builder(path), move |socket| {
                // Over when this measurement is.
                let _ = accepted.send(socket);
            })?;
            host.join()?;
            let _readers = readers(Role::ChannelReader, path)?;
            let mut sockets = taken(&sockets)?;
            let mut ends: Vec<&mut dyn End> =
                sockets.iter_mut().map(|socket| socket as &mut dyn End).collect();
            let numbers = self.rate(&mut ends, len)?;
            drop(sockets);
            host.close()?;
            numbers
        };
        let plain = {
            let listener = plain::listen(path)?;
            let _readers = readers(Role::PlainReader, path)?;
            let ends: io::Result<Vec<_>> = (0..READERS).map(|_| plain::accept(&listener)).collect();
            let mut ends = ends?;
            let mut ends: Vec<&mut dyn End> =
                ends.iter_mut().map(|end| end as &mut dyn End).collect();
            self.rate(&mut ends, len)?
        };
        Ok(Row { measure: Measure::FanOut, len: Some(len), channel, plain: Some(plain) })
    }

    /// A plain socket has no such thing.
    fn failover(&self) -> Result<Row> {
        let dir = self.directory(Measure::Failover.word())?;
        let path = dir.path();
        let mut host = Worker::start(Role::ChannelHost, path)?;
        let (_channel, socket) = self.socket(path)?;
        let kills = (self.time.as_secs_f64() * KILLS_PER_SECOND).ceil().max(1.0) as usize;
        let mut times = Vec::new();
        for _ in 0..kills {
            let next = Worker::start(Role::ChannelHost, path)?;
            socket.send_copy(&Message::Plain.of(64))?;
            socket.flush()?;
            let started = Instant::now();
            host.kill()?;
            socket.send_copy(&Message::Plain.of(64))?;
            socket.flush_timeout(LIMIT).context("no other process took over")?;
            times.push(started.elapsed());
            host = next;
        }
        Ok(Row {
            measure: Measure::Failover,
            len: None,
            channel: Numbers::of_times(times),
            plain: None,
        })
    }
}

fn readers(role: Role, dir: &Path) -> Result<Vec<Worker>> {
    (0..READERS).map(|_| Worker::start(role, dir)).collect()
}

/// The sockets of all readers.
fn taken(sockets: &Receiver<Socket>) -> Result<Vec<Socket>> {
    let taken: Vec<Socket> = (0..READERS).map_while(|_| sockets.recv_timeout(LIMIT).ok()).collect();
    ensure!(taken.len() == READERS, "not all readers have connected");
    Ok(taken)
}
