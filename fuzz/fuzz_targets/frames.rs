//! Bytes into `decode`, frames into a `Session`, as host and as peer, with a small application at
//! work.
//!
//! `cargo +nightly fuzz run frames`. The first byte chooses the side, the version and what the
//! application does; the rest is what comes over the link.
#![no_main]

use std::num::NonZeroU32;

use libfuzzer_sys::fuzz_target;
use open_channel_proto::{
    ChannelKey, Features, Frame, HEADER_LEN, Incoming, Limits, MAX_BODY, MAX_PACK_COST,
    MESSAGE_OVERHEAD, Session, SocketId, TransmitBuffer, VERSION_MAX, VERSION_MIN, decode,
};

const CHANNEL: ChannelKey = [0; 16];
const LIMITS: Limits = Limits::new(4096, 8192, 100_000).with_max_attempts(NonZeroU32::new(3));

fuzz_target!(|data: &[u8]| {
    let Some((&choice, mut bytes)) = data.split_first() else { return };
    let mut session = Session::new(SocketId(1), LIMITS);
    let hello = session.hello(CHANNEL, Features::default());
    let version = if choice & 4 == 0 { VERSION_MAX } else { VERSION_MIN };
    let (host, welcome) = Session::accept(&hello, version, 2, LIMITS).expect("an honest hello");
    let is_host = choice & 1 == 0;
    if is_host {
        session = host;
    } else {
        session.attach(&welcome).expect("an honest welcome");
    }
    let _ = session.send(vec![1; usize::from(choice)].into());
    let mut out = TransmitBuffer::default();
    while let Ok(Some((frame, len))) = decode(bytes, MAX_BODY) {
        assert!((HEADER_LEN..=HEADER_LEN + MAX_BODY).contains(&len));
        bytes = &bytes[len..];
        match frame {
            Frame::Hello(hello) if is_host => {
                session.detach();
                let _ = session.resume(&hello, version);
            }
            Frame::Welcome(welcome) if !is_host => {
                session.detach();
                let _ = session.attach(&welcome);
            }
            frame => {
                let _ = session.handle(frame);
            }
        }
        // One message or one pack may always come, when nothing else is there.
        let alone = MAX_PACK_COST.max(LIMITS.max_message + MESSAGE_OVERHEAD);
        assert!(session.unhandled_bytes() <= LIMITS.window.max(alone));
        session.transmit(&mut out);
        session.transmit_ack(&mut out);
        out.clear();
        while session.take_undeliverable().is_some() {}
        if choice & 2 != 0 {
            continue;
        }
        match session.recv() {
            // Once each way, so that it ends.
            Some(Incoming::Message { seq, payload, attempt: attempt @ 1 }) if choice & 8 != 0 => {
                if let Some(next) = session.give_back(seq, attempt) {
                    session.ready_again(seq, payload, next);
                }
            }
            Some(Incoming::Message { seq, attempt, .. }) if choice & 16 != 0 => {
                session.reject(seq, attempt, "no");
            }
            Some(Incoming::Message { seq, .. } | Incoming::End { seq }) => session.handled(seq),
            None => {}
        }
    }
});
