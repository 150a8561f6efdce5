//! [`Socket::take_back`]: messages that come back to their sender because nobody has taken them.

use bytes::Bytes;

use crate::connection::{Begun, Connection, WakeMode};
use crate::error::Error;
use crate::message::MessageId;
use crate::socket::{Socket, poll_parked};

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
    /// Takes a message back that was sent on this socket, if nobody has taken it: its bytes. It will
    /// never be delivered then, and [`flush`](Self::flush) does not wait for it. `None` when it is too late: the
    /// other side's application has taken it, it is acknowledged or undeliverable, another call has
    /// taken it back, or it is no message of this socket's own direction.
    ///
    /// A message that was not sent yet, because there is no connection or no room in the other side's
    /// window, comes back at once. For one that was sent, the other side is asked: this waits for its
    /// answer, and while the connection is lost, for the next one. A message that an earlier host
    /// may have seen is delivered to the next one; the answer is `None`. The same holds on a
    /// connection with a process that speaks version 1 of the protocol. While the number of a message
    /// that was taken back is not acknowledged, a host of that version cannot take the socket over.
    ///
    /// # Errors
    /// Why the socket is over.
    ///
    /// # Cancel safety
    /// Cancel safe: no message is lost. When dropped before it is done, the message may come back
    /// all the same: the next call for it returns it, or [`undeliverable`](Self::undeliverable) with the reason
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
        match connection.begin_taking_back(id)? {
            Begun::Answered(answer) => Ok(answer),
            Begun::Asked => {
                let call = Call { connection, seq: id.seq };
                let answer = poll_parked(connection, |cx, seat| {
                    connection.poll_taken_back(cx, seat, WakeMode::Task, id.seq)
                })
                .await;
                std::mem::forget(call);
                answer
            }
        }
    }
}
