//! Messages of the channel as the core takes them.

use bytes::Bytes;
use open_channel::Message;

/// A longer message is not copied, and may hold some memory around it.
const COPIED: usize = 16 << 10;

/// The bytes of a message, acknowledged, in memory of their own.
pub(super) fn own(message: Message) -> Bytes {
    if message.len() > COPIED {
        return message.into_bytes();
    }
    let bytes = Bytes::copy_from_slice(&message);
    message.ack();
    bytes
}
