//! Frames in words, for people who watch a group's messages go by.

use bytes::Bytes;

use super::error::FrameError;
use super::frame::{self, ExchangeFrame, LockSpace, Reply, RequestBody, ToHost, ToMember};
use super::ids::MemberId;
use super::name::Name;
use super::pattern::Topic;
use super::write::Write;

/// What a frame of a group is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The act, in a word.
    pub act: Act,
    /// The topic, service, queue, lock, key or pattern that it is about.
    pub name: Option<String>,
    /// The member that it is for or comes from, if that is not the host.
    pub other: Option<MemberId>,
    /// The bytes of the application.
    pub payload: Option<Bytes>,
}

macro_rules! acts {
    ($($act:ident $word:literal,)*) => {
        /// The kinds of frames that an application is the cause of, and the others.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        #[allow(missing_docs)] // their words say it
        pub enum Act {
            $($act,)*
        }

        impl Act {
            /// Its word.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$act => $word,)*
                }
            }
        }
    };
}

acts! {
    Publish "publish",
    Deliver "deliver",
    Subscribe "subscribe",
    Call "call",
    Answer "answer",
    Failure "failure",
    Cancel "cancel",
    Push "push",
    Job "job",
    Ack "ack",
    Nak "nak",
    Term "term",
    Work "work",
    Lock "lock",
    Lead "lead",
    Turn "turn",
    Stolen "stolen",
    Set "set",
    Delete "delete",
    CompareAndSet "compare-and-set",
    Increment "increment",
    Serve "serve",
    Unserve "unserve",
    Join "join",
    Leave "leave",
    PutOut "put out",
    Bookkeeping "bookkeeping",
}

impl Described {
    /// What a message of a group's channel is about.
    ///
    /// # Errors
    /// When it is no frame of this version.
    pub fn of(message: Bytes, from_host: bool) -> Result<Self, FrameError> {
        if from_host {
            frame::decode::<ToMember>(message).map(|(_, frame)| to_member(frame))
        } else {
            frame::decode::<ToHost>(message).map(|(_, frame)| to_host(frame))
        }
    }

    fn new(act: Act) -> Self {
        Self { act, name: None, other: None, payload: None }
    }

    fn named(act: Act, name: &str) -> Self {
        Self { name: Some(name.into()), ..Self::new(act) }
    }

    fn with(self, payload: Bytes) -> Self {
        Self { payload: Some(payload), ..self }
    }

    /// The topic, if it is about one.
    pub fn topic(&self) -> Option<Topic> {
        let has_one = matches!(self.act, Act::Publish | Act::Deliver);
        self.name.as_deref().filter(|_| has_one).and_then(|name| Topic::new(name).ok())
    }
}

fn to_host(frame: ToHost) -> Described {
    match frame {
        ToHost::Hello { info, .. } => Described::named(Act::Join, &info.program),
        ToHost::Subscribe { pattern, .. } => Described::named(Act::Subscribe, pattern.as_str()),
        ToHost::Publish { topic, payload, .. } => {
            Described::named(Act::Publish, topic.as_str()).with(payload)
        }
        ToHost::Lock { name, .. } => {
            let act = if name.space == LockSpace::Lead { Act::Lead } else { Act::Lock };
            Described::named(act, name.name.as_str())
        }
        ToHost::Work { queue, .. } => Described::named(Act::Work, queue.as_str()),
        ToHost::Push { queue, .. } => Described::named(Act::Push, queue.as_str()),
        ToHost::Send { to, frame } => Described { other: Some(to), ..exchange(frame) },
        ToHost::Write { write, .. } => written(write),
        ToHost::Leave => Described::new(Act::Leave),
        _ => Described::new(Act::Bookkeeping),
    }
}

fn to_member(frame: ToMember) -> Described {
    match frame {
        ToMember::Deliver { topic, payload, publisher, .. } => {
            let described = Described::named(Act::Deliver, topic.as_str()).with(payload);
            Described { other: Some(publisher), ..described }
        }
        ToMember::Forward { from, frame } => Described { other: Some(from), ..exchange(frame) },
        ToMember::Turn { .. } => Described::new(Act::Turn),
        ToMember::Stolen { .. } => Described::new(Act::Stolen),
        ToMember::PutOut { .. } => Described::new(Act::PutOut),
        _ => Described::new(Act::Bookkeeping),
    }
}

fn exchange(frame: ExchangeFrame) -> Described {
    let ended = |act, reason: String| Described::new(act).with(reason.into());
    match frame {
        ExchangeFrame::Request { body: RequestBody::Call { service, payload }, .. } => {
            Described::named(Act::Call, service.as_str()).with(payload)
        }
        ExchangeFrame::Request { body: RequestBody::Job { queue, payload, .. }, .. } => {
            Described::named(Act::Job, queue.as_str()).with(payload)
        }
        ExchangeFrame::Cancel { .. } => Described::new(Act::Cancel),
        ExchangeFrame::Receipt { .. } => Described::new(Act::Bookkeeping),
        ExchangeFrame::Answer { reply, .. } => match reply {
            Reply::Answered { payload } => Described::new(Act::Answer).with(payload),
            Reply::Failed { reason } => ended(Act::Failure, reason),
            Reply::NotServed => ended(Act::Failure, "not served".into()),
            Reply::Acked => Described::new(Act::Ack),
            Reply::Nak { .. } | Reply::NoRoom => Described::new(Act::Nak),
            Reply::Term { reason } => ended(Act::Term, reason),
            Reply::Cancelled => Described::new(Act::Bookkeeping),
        },
    }
}

fn written(write: Write) -> Described {
    match write {
        Write::Set { key, value, .. } => Described::named(Act::Set, &entry(&key)).with(value),
        Write::Delete { key } => Described::named(Act::Delete, &entry(&key)),
        Write::CompareAndSet { key, value, .. } => {
            let described = Described::named(Act::CompareAndSet, &entry(&key));
            Described { payload: value, ..described }
        }
        Write::Increment { key, by, .. } => {
            Described::named(Act::Increment, &entry(&key)).with(by.to_string().into())
        }
        Write::Serve { service } => Described::named(Act::Serve, service.as_str()),
        Write::Unserve { service } => Described::named(Act::Unserve, service.as_str()),
    }
}

/// The name of a map and the key in it.
fn entry(key: &Name) -> String {
    key.as_str().replacen('\0', " ", 1)
}
