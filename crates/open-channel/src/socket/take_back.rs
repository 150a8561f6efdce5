//! [`Socket::take_back`]: messages that come back to their sender because no handler has taken
//! them.

use std::task::Poll;

use bytes::Bytes;

use crate::connection::Connection;
use crate::connection::waiters::WakeMode;
use crate::error::Error;
use crate::socket::Socket;
use crate::socket::message::MessageId;
use crate::socket::waiting::wait_with;

/// A call that waits for the other side's answer.
struct Call<'a> {
    connection: &'a Connection,
    seq: u64,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.connection.stop_taking_back(self.seq);
    }
}

impl Socket {
    /// Takes a message back that was sent on this socket, if nobody has taken it, and returns its
    /// bytes. It is then never delivered, and [`flush`](Self::flush) does not wait for it.
    ///
    /// The answer is `None` when it is too late:
    /// - the other side's application has taken it;
    /// - it is acknowledged or undeliverable;
    /// - another call has taken it back;
    /// - an earlier host may have seen it: then it is delivered to the next one;
    /// - the other side speaks version 1 of the protocol;
    /// - it is no message of this socket's own direction.
    ///
    /// A message that was not sent yet comes back at once: there is no connection, or no room in
    /// the other side's window. Otherwise the other side is asked, and the call waits for its
    /// answer. While the connection is lost, it waits for the next connection.
    ///
    /// Until the number of a message that was taken back is acknowledged, a host of version 1
    /// cannot take the socket over.
    ///
    /// # Errors
    /// Why the socket is over.
    ///
    /// # Cancel safety
    /// Cancel safe: no message is lost. When dropped before it is done, the message may come back
    /// all the same. Then the next call for it returns it, or
    /// [`undeliverable`](Self::undeliverable) does, with the reason
    /// [`GivenUp::TakenBack`](crate::GivenUp::TakenBack), whichever comes first.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let channel = open_channel::Channel::builder("back").runtime_dir(dir.path().join("d"))
    /// #     .build(|socket| async move { std::future::pending::<()>().await; drop(socket) })?;
    /// let socket = channel.connect();
    /// let id = socket.send("work").await?;
    /// match socket.take_back(id).await? {
    ///     Some(work) => println!("nobody has begun with it: {} bytes", work.len()),
    ///     None => println!("somebody does it"),
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn take_back(&self, id: MessageId) -> Result<Option<Bytes>, Error> {
        let connection = self.connection();
        if id.socket != connection.id() {
            connection.check_process()?;
            return Ok(None);
        }
        if let Poll::Ready(answer) = connection.begin_taking_back(id.seq) {
            return answer;
        }
        let call = Call { connection, seq: id.seq };
        let answer = wait_with(connection, |cx, key| {
            connection.poll_taken_back(cx, key, WakeMode::Task, id.seq)
        })
        .await;
        std::mem::forget(call);
        answer
    }
}
