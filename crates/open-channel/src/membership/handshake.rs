//! The first frames on a link, on the background runtime, before a session takes it over.

use std::io;

use open_channel_proto::{
    Frame, HANDSHAKE_MAX_BODY, HEADER_LEN, Hello, MAX_BODY, Reject, RejectCode, TransmitBuffer,
    Welcome, decode,
};
use open_channel_ring::{Descriptor, Offer};

use crate::error::Error;
use crate::link::Stream;
use crate::rendezvous::versions::Versions;

/// Reads exactly one small frame, and not a byte of the next. Not cancel safe.
pub(crate) async fn read_frame(stream: &Stream) -> io::Result<Frame> {
    read_frame_after(stream, &[], HANDSHAKE_MAX_BODY).await
}

/// [`read_frame`], for a frame as long as any.
pub(crate) async fn read_long_frame(stream: &Stream) -> io::Result<Frame> {
    read_frame_after(stream, &[], MAX_BODY).await
}

/// [`read_frame`], with the descriptors that came with its first byte.
pub(crate) async fn read_first_frame(stream: &Stream) -> io::Result<(Frame, Vec<Descriptor>)> {
    let mut header = [0; HEADER_LEN];
    let received = stream.read_first(&mut header).await?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let frame = read_frame_after(stream, &header[..received.bytes], HANDSHAKE_MAX_BODY).await?;
    Ok((frame, received.descriptors))
}

/// The rest of a frame whose first bytes, at most its header, were read already.
async fn read_frame_after(stream: &Stream, read: &[u8], max_body: usize) -> io::Result<Frame> {
    let mut bytes = vec![0; HEADER_LEN];
    bytes[..read.len()].copy_from_slice(read);
    stream.read_exact(&mut bytes[read.len()..]).await?;
    let len = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    // A longer one is refused by `decode`, from its header alone.
    if len <= max_body {
        bytes.resize(HEADER_LEN + len, 0);
        stream.read_exact(&mut bytes[HEADER_LEN..]).await?;
    }
    match decode(&bytes, max_body) {
        Ok(Some((frame, _))) => Ok(frame.into_owned()),
        Ok(None) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

pub(crate) async fn write_frame(stream: &Stream, frame: &Frame) -> io::Result<()> {
    write_frames(stream, std::slice::from_ref(frame)).await
}

/// All of them together.
pub(crate) async fn write_frames(stream: &Stream, frames: &[Frame]) -> io::Result<()> {
    let mut out = TransmitBuffer::default();
    frames.iter().for_each(|frame| frame.encode(&mut out));
    write_out(stream, out).await
}

/// [`write_frame`], with descriptors attached to its first byte.
async fn write_first_frame(
    stream: &Stream,
    frame: &Frame,
    offer: Option<&Offer>,
) -> io::Result<()> {
    let mut out = TransmitBuffer::default();
    frame.encode(&mut out);
    if let Some(offer) = offer {
        let written = {
            let mut slices = [io::IoSlice::new(&[])];
            out.slices(&mut slices);
            stream.write_first(&slices[0], offer).await?
        };
        out.advance(written);
    }
    write_out(stream, out).await
}

async fn write_out(stream: &Stream, mut out: TransmitBuffer) -> io::Result<()> {
    while !out.is_empty() {
        let written = {
            let mut slices = [io::IoSlice::new(&[])];
            out.slices(&mut slices);
            stream.write(&slices[0]).await?
        };
        out.advance(written);
    }
    Ok(())
}

/// The reason why a handshake ended without a welcome.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The link broke: search again.
    #[error("{0}")]
    Gone(String),
    /// The host cannot serve this process now: try again.
    #[error("{0}")]
    Later(String),
    /// The host speaks other versions: wait for another host.
    #[error("{0}")]
    OtherVersions(String),
    /// The host said no; asking again is of no use.
    #[error(transparent)]
    Refused(#[from] Error),
}

/// The peer's part of the handshake; the hello may come with an offer of rings.
pub(crate) async fn exchange_hello(
    stream: &Stream,
    hello: Hello,
    offer: Option<&Offer>,
) -> Result<Welcome, HandshakeError> {
    // A host that refuses this process may close before it has read the hello. Its answer comes
    // first.
    let written = write_first_frame(stream, &Frame::Hello(hello), offer).await;
    match read_frame(stream).await {
        Ok(Frame::Welcome(welcome)) if written.is_ok() => Ok(welcome),
        Ok(Frame::Reject(reject)) => Err(reject_error(reject)),
        Ok(_) => Err(HandshakeError::Refused(Error::Protocol(
            "the host answered with something else".into(),
        ))),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(HandshakeError::Refused(Error::Protocol(error.to_string())))
        }
        Err(error) => Err(HandshakeError::Gone(format!("its host broke the connection: {error}"))),
    }
}

pub(crate) fn reject_error(reject: Reject) -> HandshakeError {
    HandshakeError::Refused(match reject.code {
        RejectCode::GoingAway | RejectCode::Busy => return HandshakeError::Later(reject.reason),
        RejectCode::Version => {
            let (own, theirs) =
                (Versions::OWN, Versions::new(reject.version_min, reject.version_max));
            return HandshakeError::OtherVersions(format!(
                "the host speaks {theirs}, this process {own}"
            ));
        }
        RejectCode::Permission => Error::PermissionDenied(reject.reason),
        _ => Error::Refused(reject.reason),
    })
}
