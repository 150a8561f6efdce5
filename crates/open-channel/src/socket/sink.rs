//! A socket as a `Stream` of messages and a `Sink` for them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::connection::waiters::WakeMode;
use crate::error::Error;
use crate::socket::Socket;
use crate::socket::message::Message;

impl Socket {
    fn poll_flush_to(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let end = *self.flush_to.get_or_insert_with(|| self.inner.connection.request_ack());
        let polled =
            self.inner.connection.poll_acknowledged(cx, &mut self.send_key, WakeMode::Task, end);
        if polled.is_ready() {
            self.flush_to = None;
        }
        polled
    }
}

/// Ends after the other side's end, and after an error.
impl futures_core::Stream for Socket {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let socket = &mut *self;
        if socket.stream_ended {
            return Poll::Ready(None);
        }
        let message = ready!(Message::poll(
            &socket.inner.connection,
            cx,
            &mut socket.recv_key,
            WakeMode::Task
        ));
        socket.stream_ended = !matches!(message, Ok(Some(_)));
        Poll::Ready(message.transpose())
    }
}

/// Ready when a message of [`MESSAGE_OVERHEAD`](crate::MESSAGE_OVERHEAD) bytes or less is accepted
/// at once; a longer one is accepted too. Flushing waits for acknowledgements.
impl futures_sink::Sink<Bytes> for Socket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let socket = &mut *self;
        socket.inner.connection.poll_room(
            cx,
            &mut socket.send_key,
            WakeMode::Task,
            open_channel_proto::MESSAGE_OVERHEAD,
        )
    }

    fn start_send(self: Pin<&mut Self>, message: Bytes) -> Result<(), Error> {
        self.inner.connection.send_over(message)?;
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_flush_to(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let flushed = ready!(self.poll_flush_to(cx));
        let _ = self.finish();
        Poll::Ready(flushed)
    }
}
