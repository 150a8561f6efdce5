//! The number of each kind of frame.

pub(super) const HELLO: u8 = 1;
pub(super) const WELCOME: u8 = 2;
pub(super) const REJECT: u8 = 3;
pub(super) const DATA: u8 = 4;
pub(super) const FIN: u8 = 5;
pub(super) const ACK: u8 = 6;
pub(super) const ACK_REQUEST: u8 = 7;
pub(super) const RESET: u8 = 8;
pub(super) const GO_AWAY: u8 = 9;
pub(super) const PING: u8 = 10;
pub(super) const PONG: u8 = 11;
pub(super) const SKIP: u8 = 12;
pub(super) const RETURNED: u8 = 13;
pub(super) const RECALL: u8 = 14;
pub(super) const WITHDRAWN: u8 = 15;
pub(super) const STATUS_REQUEST: u8 = 16;
pub(super) const HOST_STATUS: u8 = 17;
pub(super) const SOCKET_STATUS: u8 = 18;
pub(super) const DETAIL_REQUEST: u8 = 19;
pub(super) const DETAIL: u8 = 20;
pub(super) const TAP_REQUEST: u8 = 21;
pub(super) const TAP_STATE: u8 = 22;
pub(super) const TAPPED: u8 = 23;
pub(super) const TAP_DATA: u8 = 24;
