//! The same channel for threads instead of tasks: no runtime needed, every call may block.
//!
//! The listener runs on a thread of its own for each socket. Callers read and write the link
//! themselves; no other thread is crossed. [Which call when](crate::Socket#which-call-when)
//! compares the calls that send and receive, which are the same here.
//!
//! ```
//! use open_channel::blocking::Channel;
//! # fn main() -> Result<(), open_channel::Error> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let builder = open_channel::Channel::builder("shout").runtime_dir(dir.path().join("d"));
//! # if false {
//! let channel = Channel::new("shout", |socket| {
//!     while let Ok(Some(message)) = socket.recv() {
//!         let _ = socket.send(message.to_ascii_uppercase());
//!         message.ack();
//!     }
//! })?;
//! # }
//! # let channel = Channel::build(builder, |socket| {
//! #     while let Ok(Some(message)) = socket.recv() {
//! #         let _ = socket.send(message.to_ascii_uppercase());
//! #         message.ack()
//! #     }
//! # })?;
//! let socket = channel.connect();
//! socket.send("hello")?;
//! assert_eq!(socket.recv()?.unwrap().into_bytes(), "HELLO");
//! # Ok(()) }
//! ```

mod channel;
mod halves;
mod socket;
mod stream;
mod wait;

pub use channel::Channel;
pub use halves::{RecvHalf, SendHalf};
pub use socket::Socket;
pub use stream::ByteStream;
