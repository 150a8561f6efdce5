//! open-channel.
