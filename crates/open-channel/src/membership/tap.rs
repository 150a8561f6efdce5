//! The host's side of a tap: what its connections have copied goes to the process that asked.

use std::io;

use open_channel_proto::{Frame, MAX_CHUNK, Reject, RejectCode, TapRequest};

use crate::connection::tap::{Copied, TapGuard};
use crate::link::Stream;
use crate::membership::handshake::{read_frame, write_frame, write_frames};
use crate::membership::host::Host;

const NOT_ALLOWED: &str = "its program does not allow taps: set OPEN_CHANNEL_TAP=1 in its \
                           environment, or Builder::tap (Node: tap), and start it again";

/// Sends what passes until the other side goes, or this host is gone. What the other side is too
/// slow for is dropped, so it may be as slow as it likes.
pub(super) async fn serve(stream: &Stream, host: &Host, request: TapRequest) -> io::Result<()> {
    let Some(taps) = &host.taps else {
        let reject = Reject::new(RejectCode::Permission, NOT_ALLOWED);
        return write_frame(stream, &Frame::Reject(reject)).await;
    };
    let Some(tap) = taps.begin(request) else {
        let reject =
            Reject::new(RejectCode::TooManyConnections, "the host has all its taps: end one");
        return write_frame(stream, &Frame::Reject(reject)).await;
    };
    tokio::select! {
        sent = send(stream, &tap) => sent,
        // The other side has nothing more to say.
        _ = read_frame(stream) => Ok(()),
        _ = host.over() => Ok(()),
    }
}

async fn send(stream: &Stream, tap: &TapGuard) -> io::Result<()> {
    let mut told = 0;
    write_frame(stream, &Frame::TapState { dropped: told }).await?;
    loop {
        let (copied, dropped) = tap.next(told).await;
        if dropped > told {
            told = dropped;
            write_frame(stream, &Frame::TapState { dropped }).await?;
        }
        let Some(Copied { tapped, mut payload, .. }) = copied else { continue };
        let mut frames = vec![Frame::Tapped(tapped)];
        while !payload.is_empty() {
            let payload = payload.split_to(payload.len().min(MAX_CHUNK));
            frames.push(Frame::TapData { payload });
        }
        write_frames(stream, &frames).await?;
    }
}
