//! A channel as JavaScript holds it: connections go into a queue that JavaScript empties.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use napi_derive::napi;
use open_channel::{Channel, ConnectOptions, Event, Events, Role, Socket, ffi};
use tokio::runtime::Handle;

use crate::{
    error::{Failure, thrown},
    hub::{Hub, Inner, Signal, reason},
    options::OpenOptions,
    socket::NativeSocket,
    stats::{NativeChannelStats, NativeStall},
};

/// The channel of one `ProcessChannel`.
#[napi]
pub struct NativeChannel {
    channel: Channel,
    /// Where the listener runs, and what JavaScript holds a promise for.
    background: Handle,
    hub: Arc<Inner>,
    arrivals: Arc<Arrivals>,
    news: News,
    host_timeout: Duration,
}

/// Connections that the listener has not seen yet.
#[derive(Default)]
struct Arrivals(Mutex<VecDeque<Socket>>);

impl Arrivals {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Socket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The channel's events. JavaScript takes them from the library itself, with no thread in between:
/// when it sees a connection, the events that led to it are there.
struct News {
    next: Option<Next>,
    waker: Waker,
}

type Next = Pin<Box<dyn Future<Output = (Option<Event>, Events)> + Send>>;

impl News {
    fn new(events: Events, waker: Waker) -> Self {
        let mut news = Self { next: Some(Self::after(events)), waker };
        // Nothing has happened yet: this leaves the waker.
        let none = news.take();
        debug_assert!(none.is_none(), "a channel does nothing by itself");
        news
    }

    fn after(mut events: Events) -> Next {
        Box::pin(async move { (events.recv().await, events) })
    }

    /// The next event, if there is one; else the waker is called when there is.
    fn take(&mut self) -> Option<Event> {
        let next = self.next.as_mut()?;
        let Poll::Ready((event, events)) =
            next.as_mut().poll(&mut Context::from_waker(&self.waker))
        else {
            return None;
        };
        self.next = event.is_some().then(|| Self::after(events));
        event
    }
}

/// An event of `ProcessChannel`.
#[napi(object)]
pub struct ChannelEvent {
    /// `connected`, `becameHost`, `hostLost`, `handedOver`, `fenced`, `stalled`, `stallEnded` or
    /// `closed`.
    pub kind: String,
    /// `host`, `peer` or `none`.
    pub role: String,
    /// The generation it happened in.
    pub generation: f64,
    /// Why, when something failed.
    pub failure: Option<Failure>,
    /// For `stalled` and `stallEnded`.
    pub stall: Option<NativeStall>,
}

#[napi]
impl NativeChannel {
    /// Names the channel; nothing is touched before `connect` or `join`.
    #[napi(constructor)]
    pub fn new(hub: &Hub, token: u32, options: OpenOptions) -> napi::Result<Self> {
        let signal = Signal::new(hub.inner(), token);
        let arrivals = Arc::new(Arrivals::default());
        let host_timeout = options.host_timeout();
        let (builder, hosts) = options.builder();
        let background = ffi::background().map_err(|error| thrown(&error))?;
        let current = background.enter();
        let channel = if hosts {
            let (arrivals, signal) = (Arc::clone(&arrivals), Arc::clone(&signal));
            builder.build(move |socket| {
                arrivals.lock().push_back(socket);
                signal.raise(reason::ACCEPTED);
                std::future::ready(())
            })
        } else {
            builder.build_peer()
        }
        .map_err(|error| thrown(&error))?;
        drop(current);

        let news = News::new(channel.events(), signal.waker(reason::EVENT));
        Ok(Self { channel, background, hub: hub.inner(), arrivals, news, host_timeout })
    }

    /// A socket of its own at every call.
    #[napi]
    pub fn connect(&self, token: u32, timeout_ms: u32, reconnect: bool) -> NativeSocket {
        let timeout = Duration::from_millis(timeout_ms.into());
        let socket =
            self.channel.connect_with(ConnectOptions::new().timeout(timeout).reconnect(reconnect));
        self.socket(socket, token)
    }

    /// How many connections the listener has not seen yet.
    #[napi(getter)]
    pub fn waiting(&self) -> u32 {
        u32::try_from(self.arrivals.lock().len()).unwrap_or(u32::MAX)
    }

    /// The next of those that are `waiting`.
    #[napi]
    pub fn accept(&self, token: u32) -> napi::Result<NativeSocket> {
        let next = self.arrivals.lock().pop_front();
        let socket = next.ok_or_else(|| napi::Error::from_reason("no connection is waiting"))?;
        Ok(self.socket(socket, token))
    }

    /// The next event that was not taken yet; raises `EVENT` after there was none.
    #[napi]
    pub fn event(&mut self) -> Option<ChannelEvent> {
        loop {
            let described = describe(self.news.take()?);
            if described.is_some() {
                return described;
            }
        }
    }

    /// Takes part without a socket; completes when hosting or connected.
    #[napi]
    pub fn join(&self, request: u32) {
        let (channel, hub) = (self.channel.clone(), Arc::clone(&self.hub));
        self.background.spawn(async move { hub.complete(request, channel.join().await.map(drop)) });
    }

    /// Begins to leave: if this process hosts, nothing more from other processes is delivered.
    #[napi]
    pub fn retire(&self) {
        ffi::retire(&self.channel);
    }

    /// Leaves in an orderly way, handing over when hosting.
    #[napi]
    pub fn close(&self, request: u32) {
        let (channel, hub) = (self.channel.clone(), Arc::clone(&self.hub));
        self.background.spawn(async move { hub.complete(request, channel.close().await) });
    }

    /// The state of the channel and its sockets.
    #[napi]
    pub fn stats(&self) -> NativeChannelStats {
        self.channel.stats().into()
    }

    /// Milliseconds.
    #[napi(getter)]
    pub fn host_timeout(&self) -> f64 {
        self.host_timeout.as_secs_f64() * 1000.0
    }

    /// The key that the name and the scope amount to.
    #[napi(getter)]
    pub fn key(&self) -> String {
        self.channel.key()
    }

    /// `host`, `peer` or `none`.
    #[napi(getter)]
    pub fn role(&self) -> String {
        self.channel.role().to_string()
    }

    /// The directory in which the channel's processes meet.
    #[napi(getter)]
    pub fn directory(&self) -> String {
        self.channel.directory().to_string_lossy().into_owned()
    }

    /// Grows with every change of host; 0 before the first.
    #[napi(getter)]
    pub fn generation(&self) -> f64 {
        self.channel.generation() as f64
    }
}

impl NativeChannel {
    fn socket(&self, socket: open_channel::Socket, token: u32) -> NativeSocket {
        NativeSocket::new(socket, self.channel.clone(), Signal::new(Arc::clone(&self.hub), token))
    }
}

impl Drop for NativeChannel {
    fn drop(&mut self) {
        // If JavaScript has closed it, there is nothing left to abandon. Else JavaScript goes away,
        // and what it has not handled must look unhandled to the others.
        ffi::abandon(&self.channel);
    }
}

/// `None` for a kind of event that this version has no name for.
fn describe(event: Event) -> Option<ChannelEvent> {
    let mut news = None;
    let (kind, as_role, generation, failure) = match event {
        Event::Connected { role, generation, .. } => ("connected", role, generation, None),
        Event::BecameHost { generation, .. } => ("becameHost", Role::Host, generation, None),
        Event::HostLost { generation, .. } => ("hostLost", Role::Peer, generation, None),
        Event::HandedOver { generation, .. } => ("handedOver", Role::Peer, generation, None),
        Event::Fenced { generation, .. } => ("fenced", Role::None, generation, None),
        Event::Stalled(stall) => {
            let generation = stall.generation;
            news = Some(stall.into());
            ("stalled", Role::None, generation, None)
        }
        Event::StallEnded(end) => {
            news = Some(end.into());
            ("stallEnded", Role::None, 0, None)
        }
        Event::Closed { error, .. } => ("closed", Role::None, 0, error.as_ref().map(Failure::from)),
        _ => return None,
    };
    let (kind, role, generation) = (kind.to_owned(), as_role.to_string(), generation as f64);
    Some(ChannelEvent { kind, role, generation, failure, stall: news })
}
