//! The frames of the link that is attached.

use super::Session;
use super::ending::Closed;
use crate::error::ProtocolError;
use crate::frame::Frame;
use crate::transmit::TransmitBuffer;

/// The link's side.
impl Session {
    /// Takes a frame from the link.
    ///
    /// # Errors
    /// If the other side broke the protocol: [`reset`](Self::reset) the session and drop the link.
    pub fn handle<P: AsRef<[u8]>>(&mut self, frame: Frame<P>) -> Result<(), ProtocolError> {
        if self.ending.is_over() {
            return Ok(());
        }
        match frame {
            Frame::Data { seq, flags, total, payload } => {
                self.inbox.data(seq, flags, total, payload.as_ref())?
            }
            Frame::Fin { seq } => self.inbox.fin(seq)?,
            Frame::Skip { seq } => {
                self.inbox.skip(seq)?;
                self.settle();
            }
            Frame::Returned { seq, fate, attempt, reason } => {
                self.returned(seq, fate, attempt, reason)?
            }
            Frame::Recall { seq } => self.wants_back(seq)?,
            Frame::Withdrawn { seq } => self.withdrawn(seq)?,
            Frame::Ack { through } => {
                self.outbox.acknowledge(through)?;
                self.settle();
            }
            Frame::AckRequest => self.inbox.request_ack(),
            Frame::Reset { code, reason } => {
                self.ending.close(Closed::Remotely { code, reason });
                self.inbox.end_pauses();
            }
            Frame::GoAway => self.remote.is_going_away = true,
            Frame::Hello(_)
            | Frame::Welcome(_)
            | Frame::Reject(_)
            | Frame::Ping { .. }
            | Frame::Pong { .. }
            | Frame::StatusRequest { .. }
            | Frame::HostStatus(_)
            | Frame::SocketStatus(_)
            | Frame::DetailRequest { .. }
            | Frame::Detail { .. }
            | Frame::TapRequest(_)
            | Frame::TapState { .. }
            | Frame::Tapped(_)
            | Frame::TapData { .. } => {
                return Err(ProtocolError::Unexpected("a frame that does not belong in a session"));
            }
        }
        Ok(())
    }

    /// Puts everything that may go on the link into `out`, as far as it has room. An
    /// acknowledgement goes out with other frames, or when the sender needs it now.
    pub fn transmit(&mut self, out: &mut TransmitBuffer) {
        let Some(link) = self.link else { return };
        // It always has room, because it is one frame and the last.
        if let Some((code, reason)) = self.ending.take_reset() {
            return Frame::Reset { code, reason }.encode(out);
        }
        if out.is_full() {
            return;
        }
        self.transmit_returned(out);
        let in_frames = !self.outbox.has_store();
        let sendable = in_frames && self.outbox.is_sendable(link.window);
        if self.inbox.ack_urgent() || sendable && self.inbox.ack_pending() {
            Frame::Ack { through: self.inbox.take_ack() }.encode(out);
        }
        if self.ending.is_over() || !in_frames {
            return;
        }
        self.outbox.transmit(link.window, out);
        // Everything else waits for it.
        self.ack_request |= sendable && self.outbox.is_alone();
        if self.ack_request && !out.is_full() {
            self.ack_request = false;
            if self.outbox.in_flight_messages() > 0 {
                Frame::AckRequest.encode(out);
            }
        }
    }

    /// Puts the pending acknowledgement, if any, into `out`, also without other frames.
    pub fn transmit_ack(&mut self, out: &mut TransmitBuffer) {
        if self.link.is_some() && self.inbox.ack_pending() {
            Frame::Ack { through: self.inbox.take_ack() }.encode(out);
        }
    }
}
