//! iceoryx2: one publish-subscribe service in each direction, without overflow (nothing may be
//! dropped), the payload written into loaned memory and read in place.

use crate::job::Job;
use crate::payload::Payload;
use crate::transport::{Endpoint, Runtime, Transport};
use anyhow::{Context, Result};
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::sample::Sample;
use std::time::Duration;

/// The receiver asks again and again.
pub(crate) type Polling = Iceoryx<false>;
/// The sender notifies for each sample; the receiver sleeps when it finds none.
pub(crate) type Events = Iceoryx<true>;

pub(crate) struct Iceoryx<const EVENTS: bool> {
    end: Option<End<EVENTS>>,
}

pub(crate) struct End<const EVENTS: bool> {
    publisher: Publisher<ipc::Service, [u8], ()>,
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    notifier: Option<Notifier<ipc::Service>>,
    listener: Option<Listener<ipc::Service>>,
    _node: Node<ipc::Service>,
}

/// Under load a listener was now and then seen to sleep on although its notifier had notified; it
/// looks again after this long, so that a run goes on.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// Samples that may be under way: at most 4 MiB of them. (Fewer or more made no difference to its
/// rates: it takes the place again that became free last.)
fn depth(len: usize) -> usize {
    ((4 << 20) / len.max(1)).clamp(4, 1024)
}

impl<const EVENTS: bool> End<EVENTS> {
    fn new(job: &Job, outgoing: &str, incoming: &str) -> Result<Self> {
        set_log_level(LogLevel::Error);
        let ends = job.connections + 2;
        let mut config = Config::default();
        // The controller removes what killed processes leave behind: it knows the prefix.
        config.global.prefix = FileName::new(format!("{}_", job.name).as_bytes())?;
        config.global.set_root_path(&Path::new(job.place.as_os_str().as_encoded_bytes())?);
        let node = NodeBuilder::new().config(&config).create::<ipc::Service>()?;

        let samples = |direction: &str| {
            node.service_builder(&direction.try_into()?)
                .publish_subscribe::<[u8]>()
                .payload_alignment(Alignment::new(64).context("a power of two")?)
                .enable_safe_overflow(false)
                .subscriber_max_buffer_size(depth(job.len))
                .max_publishers(ends)
                .max_subscribers(ends)
                .max_nodes(ends)
                .open_or_create()
                .context("cannot open the service")
        };
        let events = |direction: &str| {
            node.service_builder(&format!("{direction}-events").as_str().try_into()?)
                .event()
                .max_notifiers(ends)
                .max_listeners(ends)
                .max_nodes(ends)
                .open_or_create()
                .context("cannot open the event service")
        };
        // Listening comes first, so that whoever knows of us can reach us.
        let (notifier, listener) = if EVENTS {
            let listener = events(incoming)?.listener_builder().create()?;
            (Some(events(outgoing)?.notifier_builder().create()?), Some(listener))
        } else {
            (None, None)
        };
        let subscriber = samples(incoming)?.subscriber_builder().create()?;
        let publisher = samples(outgoing)?
            .publisher_builder()
            .initial_max_slice_len(job.len)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()?;
        Ok(End { publisher, subscriber, notifier, listener, _node: node })
    }

    fn sample(&self) -> Result<Sample<ipc::Service, [u8], ()>> {
        loop {
            if let Some(sample) = self.subscriber.receive()? {
                return Ok(sample);
            }
            match &self.listener {
                Some(listener) => {
                    listener.timed_wait(|_| {}, LONGEST_SLEEP)?;
                }
                None => std::hint::spin_loop(),
            }
        }
    }
}

impl<const EVENTS: bool> Transport for Iceoryx<EVENTS> {
    type Endpoint = End<EVENTS>;
    const RUNTIME: Runtime = Runtime::Blocking;

    async fn host(job: &Job) -> Result<Self> {
        Ok(Iceoryx { end: Some(End::new(job, "down", "up")?) })
    }

    async fn accept(&mut self) -> Result<Self::Endpoint> {
        self.end.take().context("one subscriber hears every publisher")
    }

    async fn connect(job: &Job) -> Result<Self::Endpoint> {
        End::new(job, "up", "down")
    }
}

impl<const EVENTS: bool> Endpoint for End<EVENTS> {
    async fn send(&mut self, payload: Payload) -> Result<()> {
        let mut sample = self.publisher.loan_slice_uninit(payload.len)?;
        payload.write_uninit(sample.payload_mut());
        // SAFETY: the line above wrote every byte (every length is a multiple of a block).
        let sample = unsafe { sample.assume_init() };
        sample.send()?;
        if let Some(notifier) = &self.notifier {
            notifier.notify()?;
        }
        Ok(())
    }

    async fn recv(&mut self) -> Result<Payload> {
        Payload::check(self.sample()?.payload())
    }

    async fn answer(&mut self) -> Result<Payload> {
        let sample = self.sample()?;
        let payload = Payload::check(sample.payload())?;
        self.send(payload).await?;
        Ok(payload)
    }
}
