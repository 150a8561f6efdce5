//! Frames on the wire: each comes back as it was, and no other bytes do harm.
#![allow(clippy::unwrap_used)] // a test may panic

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::entry::{Change, Entry, LeaveReason, Logged};
use super::error::FrameError;
use super::frame::{
    ExchangeFrame, LockClaim, LockMode, LockName, LockSpace, LockWait, Reply, RequestBody, ToHost,
    ToMember, decode, encode,
};
use super::ids::*;
use super::name::Name;
use super::pattern::{Pattern, Topic};
use super::transfer::{Pair, Transfer};
use super::view::{MemberInfo, MemberView};
use super::wire::{Reader, Wire};
use super::write::{Expect, Write, WriteEnd};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn info() -> MemberInfo {
    MemberInfo {
        pid: 4711,
        program: "näme".into(),
        language: "rust".into(),
        labels: vec![("a".into(), String::new())],
    }
}

fn payload() -> Bytes {
    Bytes::from_static(b"payload")
}

fn entries() -> Vec<Logged> {
    let write = |change| Entry::Write { origin: MemberId(3), op: OpId(4), change };
    let second = Some(Duration::from_secs(1));
    [
        Entry::Begin { gone: vec![MemberId(1), MemberId(u64::MAX)] },
        Entry::Join { id: MemberId(2), info: info() },
        Entry::Leave { id: MemberId(2), reason: LeaveReason::Stalled },
        write(Change::Put { key: name("k"), value: payload(), ttl: second }),
        write(Change::Remove { key: name("k") }),
        write(Change::Serve { service: name("s") }),
        write(Change::Unserve { service: name("s") }),
        Entry::Expire { key: name("k") },
    ]
    .map(|entry| Logged { tenure: 300, entry })
    .into()
}

fn transfers() -> Vec<Transfer> {
    let services = vec![name("s"), name("t")];
    let pair = |ttl| Pair { key: name("k"), value: payload(), revision: 7, ttl };
    vec![
        Transfer::Entries { first: 1 << 40, entries: entries() },
        Transfer::Head {
            mark: Mark { tenure: 1, position: 2 },
            stable: Mark::default(),
            view_number: 3,
            members: vec![MemberView { id: MemberId(5), info: info(), services }],
        },
        Transfer::Pairs { pairs: vec![pair(None), pair(Some(Duration::from_micros(1)))] },
        Transfer::History { entries: entries() },
        Transfer::End,
    ]
}

fn exchange_frames() -> Vec<ExchangeFrame> {
    let exchange = ExchangeId(9);
    let call = RequestBody::Call { service: name("s"), payload: payload() };
    let job = RequestBody::Job {
        job: JobId(1),
        queue: name("q"),
        worker: WorkerId(2),
        attempt: 3,
        payload: Bytes::new(),
    };
    let mut exchange_frames = vec![
        ExchangeFrame::Request { exchange, body: call },
        ExchangeFrame::Request { exchange, body: job },
        ExchangeFrame::Cancel { exchange },
        ExchangeFrame::Receipt { exchange },
    ];
    let replies = [
        Reply::Answered { payload: payload() },
        Reply::Failed { reason: "no".into() },
        Reply::NotServed,
        Reply::Cancelled,
        Reply::Acked,
        Reply::Nak { delay: Duration::from_millis(5) },
        Reply::Term { reason: String::new() },
        Reply::NoRoom,
    ];
    exchange_frames.extend(replies.map(|reply| ExchangeFrame::Answer { exchange, reply }));
    exchange_frames
}

fn writes() -> Vec<Write> {
    let (key, ttl) = (name("k"), Some(Duration::from_secs(2)));
    let cas = |expect, value| Write::CompareAndSet { key: name("k"), expect, value, ttl: None };
    vec![
        Write::Set { key: key.clone(), value: payload(), ttl },
        Write::Delete { key: key.clone() },
        cas(Expect::Absent, Some(payload())),
        cas(Expect::Value { bytes: payload() }, None),
        cas(Expect::Revision { revision: 8 }, None),
        Write::Increment { key: key.clone(), by: i64::MIN, ttl },
        Write::Increment { key, by: -1, ttl: None },
        Write::Serve { service: name("s") },
        Write::Unserve { service: name("s") },
    ]
}

fn to_host() -> Vec<ToHost> {
    let lock_name = LockName { space: LockSpace::Lead, name: name("l") };
    let lock = |mode, wait, ticket, token| ToHost::Lock {
        lock: LockId(1),
        name: lock_name.clone(),
        mode,
        wait,
        ticket,
        token,
    };
    let subscription = SubscriptionId(6);
    let ticket = Some(Ticket { tenure: 1, number: 2 });
    let token = Some(Token { tenure: 1, number: 2 });
    let mut frames = vec![
        ToHost::Hello { member: MemberId(1), info: info(), window: 9, mark: None },
        ToHost::Back,
        ToHost::Have { position: u64::MAX },
        ToHost::Subscribe { subscription, pattern: Pattern::new("a.*.>").unwrap(), held: 0 },
        ToHost::Unsubscribe { subscription },
        ToHost::Released { subscription, bytes: 127 },
        ToHost::Handled { subscription, number: 128 },
        ToHost::Publish {
            number: PublishId(1),
            topic: Topic::new("a.b").unwrap(),
            payload: payload(),
        },
        lock(LockMode::Shared, LockWait::Wait, ticket, None),
        lock(LockMode::Exclusive, LockWait::Try, None, token),
        lock(LockMode::Exclusive, LockWait::Steal, None, None),
        ToHost::Unlock { lock: LockId(1) },
        ToHost::Work { worker: WorkerId(1), queue: name("q"), capacity: u32::MAX },
        ToHost::Busy { worker: WorkerId(1), pusher: MemberId(2), exchange: ExchangeId(3) },
        ToHost::StopWork { worker: WorkerId(1) },
        ToHost::Push { job: JobId(1), queue: name("q") },
        ToHost::Withdraw { job: JobId(1) },
        ToHost::Decline { job: JobId(1), member: MemberId(2), worker: WorkerId(3) },
        ToHost::Leave,
        ToHost::QueryLocks { query: LockQueryId(7) },
    ];
    frames.extend(transfers().into_iter().map(|piece| ToHost::Log { piece }));
    let send = |frame| ToHost::Send { to: MemberId(1 << 63), frame };
    frames.extend(exchange_frames().into_iter().map(send));
    frames.extend(writes().into_iter().map(|write| ToHost::Write { op: OpId(1), write }));
    frames
}

fn to_member() -> Vec<ToMember> {
    let lock = LockId(1);
    let mut frames = vec![
        ToMember::Stable { position: 1 },
        ToMember::Fetch { mark: Some(Mark { tenure: 1, position: 2 }) },
        ToMember::PutOut { reason: LeaveReason::NotBack },
        ToMember::Subscribed { subscription: SubscriptionId(1) },
        ToMember::Deliver {
            subscription: SubscriptionId(1),
            number: 2,
            publisher: MemberId(3),
            publication: PublishId(4),
            topic: Topic::new("a").unwrap(),
            payload: payload(),
        },
        ToMember::Published { number: PublishId(1) },
        ToMember::Queued { lock, ticket: Ticket { tenure: 1, number: 2 } },
        ToMember::Turn { lock, token: Token { tenure: 1, number: 2 } },
        ToMember::Denied { lock },
        ToMember::Stolen { lock },
        ToMember::Assign { job: JobId(1), member: MemberId(2), worker: WorkerId(3) },
    ];
    frames.extend(transfers().into_iter().map(|piece| ToMember::Log { piece }));
    let forward = |frame| ToMember::Forward { from: MemberId(1), frame };
    frames.extend(exchange_frames().into_iter().map(forward));
    let ends = [
        WriteEnd::Done { revision: 1 },
        WriteEnd::Counted { revision: 1, number: -1 },
        WriteEnd::Unchanged,
        WriteEnd::Conflict,
        WriteEnd::NotANumber,
        WriteEnd::Overflow,
        WriteEnd::MapFull,
        WriteEnd::Unknown,
    ];
    frames.extend(ends.map(|end| ToMember::Wrote { op: OpId(1), end }));
    let claim = |mode, token| LockClaim {
        name: LockName { space: LockSpace::Lock, name: name("l") },
        mode,
        member: MemberId(2),
        token,
    };
    let token = Some(Token { tenure: 1, number: 2 });
    let claims = vec![claim(LockMode::Exclusive, token), claim(LockMode::Shared, None)];
    let query = LockQueryId(7);
    frames.push(ToMember::Locks { query, claims, last: false });
    frames.push(ToMember::Locks { query, claims: Vec::new(), last: true });
    frames
}

/// Comes back as it was; cut short or with a byte more, it does not.
fn check<F: Wire + PartialEq + std::fmt::Debug>(frames: &[F], kinds: u8) {
    let mut seen = BTreeSet::new();
    for frame in frames {
        let message = encode(300, frame);
        seen.insert(message[3]);
        let (tenure, again) = decode::<F>(message.clone()).unwrap();
        assert_eq!((tenure, &again), (300, frame));
        for end in 0..message.len() {
            let cut = decode::<F>(message.slice(..end));
            assert!(cut.is_err(), "{frame:?} is complete after {end} bytes");
        }
        let mut longer = BytesMut::from(&message[..]);
        longer.extend_from_slice(&[0]);
        assert_eq!(decode::<F>(longer.freeze()), Err(FrameError::Trailing(1)), "{frame:?}");
    }
    assert_eq!(seen, (1..=kinds).collect(), "every kind of frame is here");
}

#[test]
fn every_frame_comes_back_as_it_was() {
    check(&to_host(), 21);
    check(&to_member(), 15);
}

#[test]
fn a_frame_with_any_byte_changed_is_another_frame_or_an_error() {
    fn change<F: Wire + PartialEq + std::fmt::Debug>(frames: &[F]) {
        for frame in frames {
            let message = encode(1, frame);
            for place in 0..message.len() {
                for bit in 0..8 {
                    let mut bytes = BytesMut::from(&message[..]);
                    bytes[place] ^= 1 << bit;
                    let changed = bytes.freeze();
                    if let Ok((tenure, other)) = decode::<F>(changed.clone()) {
                        assert_eq!(encode(tenure, &other), changed, "one frame has one form");
                    }
                }
            }
        }
    }
    change(&to_host());
    change(&to_member());
}

/// One line for each frame: who sends it, its bytes in tenure 300, and what it says.
fn vectors() -> String {
    let mut text = String::new();
    let mut add = |from: &str, message: Bytes, what: String| {
        let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("{from} {hex} {what}\n");
    };
    to_host().iter().for_each(|frame| add("member", encode(300, frame), format!("{frame:?}")));
    to_member()
        .iter()
        .for_each(|frame| add("switchboard", encode(300, frame), format!("{frame:?}")));
    text
}

/// `OPEN_CHANNEL_GROUP_VECTORS` set, it writes the file anew.
#[test]
fn frames_are_on_the_wire_as_the_vectors_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/frames-1.txt");
    if std::env::var_os("OPEN_CHANNEL_GROUP_VECTORS").is_some() {
        std::fs::write(path, vectors()).unwrap();
    }
    let file = std::fs::read_to_string(path).unwrap();
    for (line, wanted) in vectors().lines().zip(file.lines()) {
        assert_eq!(line, wanted);
    }
    assert_eq!(vectors().lines().count(), file.lines().count());
}

/// The bytes of frames that other implementations must agree on.
#[test]
fn frames_are_on_the_wire_as_they_always_were() {
    let hex = |message: Bytes| {
        message.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    };
    let have = ToHost::Have { position: 300 };
    assert_eq!(hex(encode(5, &have)), "01 05 03 ac 02");
    let publish = ToHost::Publish {
        number: PublishId(1),
        topic: Topic::new("a.b").unwrap(),
        payload: Bytes::from_static(b"xy"),
    };
    assert_eq!(hex(encode(5, &publish)), "01 05 09 01 03 61 2e 62 02 78 79");
    let turn = ToMember::Turn { lock: LockId(2), token: Token { tenure: 5, number: 9 } };
    assert_eq!(hex(encode(5, &turn)), "01 05 09 02 05 09");
    let op = OpId(3);
    let write = Write::Increment { key: name("n"), by: -1, ttl: None };
    assert_eq!(hex(encode(5, &ToHost::Write { op, write })), "01 05 13 03 04 01 6e 01 00");
}

#[test]
fn numbers_and_texts_have_one_form_and_a_limit() {
    let take = |bytes: &'static [u8]| u64::take(&mut Reader::new(Bytes::from_static(bytes)));
    assert_eq!(take(&[0x7f]), Ok(127));
    assert_eq!(take(&[0x80, 0x01]), Ok(128));
    assert_eq!(take(&[0x80, 0x00]), Err(FrameError::Invalid("number")));
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(u64::take(&mut Reader::new(Bytes::copy_from_slice(&most))), Ok(u64::MAX));
    let more = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
    let more = u64::take(&mut Reader::new(Bytes::copy_from_slice(&more)));
    assert_eq!(more, Err(FrameError::Invalid("number")));
    let text = |bytes: &'static [u8]| Name::take(&mut Reader::new(Bytes::from_static(bytes)));
    assert_eq!(text(&[0]), Err(FrameError::Invalid("name")));
    assert_eq!(text(&[1, 0xff]), Err(FrameError::Invalid("name")));
    let endless = [0xff, 0xff, 0xff, 0xff, 0x0f, 1];
    let values = Vec::<u64>::take(&mut Reader::new(Bytes::copy_from_slice(&endless)));
    assert_eq!(values, Err(FrameError::Short), "a count is not believed");
}
