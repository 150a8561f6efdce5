//! A group as JavaScript holds it.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use napi::Env;
use napi_derive::napi;
use open_channel_group::{Error, Event, Events, Group, Members};

use super::{
    ending::Ending,
    failure::thrown,
    futures::Awaited,
    operations::{Done, Finished, Operations},
    options::JoinOptions,
    view::{GroupEvent, NativeView, describe, shown},
};
use crate::hub::{Hub, Signal, reason};

/// The group of one `Group`.
#[napi]
pub struct NativeGroup {
    signal: Arc<Signal>,
    operations: Operations,
    /// Once it is joined, until it is closed.
    joined: Option<Joined>,
}

struct Joined {
    group: Group,
    members: Members,
    news: News,
    ending: Option<Ending>,
}

/// The group's events, pulled by JavaScript.
struct News {
    signal: Arc<Signal>,
    next: Option<Awaited<(Option<Event>, Events)>>,
    over: Option<Awaited<Result<(), Error>>>,
    told: VecDeque<GroupEvent>,
}

impl News {
    fn new(group: &Group, signal: &Arc<Signal>) -> Self {
        let next = Some(Self::after(group.events(), signal));
        let mut news = Self { signal: Arc::clone(signal), next, over: None, told: VecDeque::new() };
        news.collect(group);
        news
    }

    fn after(mut events: Events, signal: &Arc<Signal>) -> Awaited<(Option<Event>, Events)> {
        Awaited::new(signal, reason::EVENT, async move { (events.recv().await, events) })
    }

    fn collect(&mut self, group: &Group) {
        while let Some((event, events)) = self.next.as_mut().and_then(Awaited::poll) {
            let Some(event) = event else {
                self.next = None;
                // It says why it is over.
                let group = group.clone();
                let close = async move { group.close().await };
                self.over = Some(Awaited::new(&self.signal, reason::EVENT, close));
                break;
            };
            self.told.extend(describe(&event));
            self.next = Some(Self::after(events, &self.signal));
        }
        if let Some(end) = self.over.as_mut().and_then(Awaited::poll) {
            let failure = end.err().filter(|error| !matches!(error, Error::Left));
            let failure = failure.map(Into::into);
            self.told.push_back(GroupEvent { kind: "over".into(), failure, ..Default::default() });
        }
    }
}

#[napi]
impl NativeGroup {
    /// Begins to join; completes when a host serves this member.
    #[napi(constructor)]
    pub fn new(hub: &Hub, token: u32, request: u32, options: JoinOptions) -> Self {
        let signal = Signal::new(hub.inner(), token);
        let mut operations = Operations::new(&signal);
        let builder = options.builder();
        operations.begin(request, async move { builder.join().await.map(Done::Joined) });
        Self { signal, operations, joined: None }
    }

    /// The operations that ended since the last call.
    #[napi]
    pub fn finished(&mut self, env: Env) -> napi::Result<Vec<Finished>> {
        let mut finished = Vec::new();
        for (request, end) in self.operations.take() {
            if let Ok(Done::Joined(group)) = &end {
                let ending = Some(Ending::new(env, group.clone())?);
                self.joined = Some(Joined {
                    members: group.members(),
                    news: News::new(group, &self.signal),
                    group: group.clone(),
                    ending,
                });
            }
            finished.push(Finished::new(request, end));
        }
        Ok(finished)
    }

    /// Nobody waits for an operation any more. False if it has ended.
    #[napi]
    pub fn cancel(&mut self, request: u32) -> bool {
        self.operations.cancel(request)
    }

    /// Leaves in an orderly way.
    #[napi]
    pub fn close(&mut self, request: u32) {
        let group = self.group();
        self.operations.begin(request, async move {
            match group {
                Some(group) => group.close().await.map(|()| Done::Nothing),
                None => Err(Error::Left),
            }
        });
    }

    /// The group is over, or was left: nothing is left to do when the thread ends.
    #[napi]
    pub fn rest(&mut self, env: Env) {
        if let Some(ending) = self.joined.as_mut().and_then(|joined| joined.ending.take()) {
            ending.cancel(env);
        }
    }

    /// The next event that was not taken yet; raises `EVENT` after there was none.
    #[napi]
    pub fn event(&mut self) -> Option<GroupEvent> {
        let Joined { group, news, .. } = self.joined.as_mut()?;
        news.collect(group);
        news.told.pop_front()
    }

    /// The members now: not older than any event that was taken.
    #[napi]
    pub fn view(&mut self) -> Option<NativeView> {
        let Joined { group, members, .. } = self.joined.as_mut()?;
        // The view follows its event under one lock, which this takes as well.
        let _ = group.id();
        Some(members.get().into())
    }

    /// The id of this member.
    #[napi(getter)]
    pub fn id(&self) -> Option<String> {
        Some(shown(self.joined.as_ref()?.group.id()))
    }

    /// Whether this process hosts.
    #[napi(getter)]
    pub fn is_host(&self) -> bool {
        self.joined.as_ref().is_some_and(|joined| joined.group.is_host())
    }

    /// The directory of the group's channel.
    #[napi(getter)]
    pub fn directory(&self) -> Option<String> {
        Some(self.joined.as_ref()?.group.directory().to_string_lossy().into_owned())
    }

    /// Completes with who holds locks and who waits for them.
    #[napi]
    pub fn query_locks(&mut self, request: u32) {
        self.begin(request, async move |group| group.query_locks().await.map(Done::Claims));
    }

    /// Completes when everybody has handled it.
    #[napi]
    pub fn publish(&mut self, request: u32, topic: String, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        self.begin(request, async move |group| {
            group.publish(&topic, payload).await.map(|()| Done::Nothing)
        });
    }
}

impl NativeGroup {
    fn group(&self) -> Option<Group> {
        self.joined.as_ref().map(|joined| joined.group.clone())
    }

    /// The group, for something that goes on.
    pub(crate) fn joined(&self) -> napi::Result<Group> {
        self.group().ok_or_else(|| thrown(Error::Left))
    }

    pub(crate) fn signal_like(&self, token: u32) -> Arc<Signal> {
        Signal::new(self.signal.hub(), token)
    }

    pub(crate) fn begin<F>(&mut self, request: u32, operation: impl FnOnce(Group) -> F)
    where
        F: Future<Output = Result<Done, Error>> + Send + 'static,
    {
        match self.group() {
            Some(group) => self.operations.begin(request, operation(group)),
            None => self.operations.begin(request, std::future::ready(Err(Error::Left))),
        }
    }
}
