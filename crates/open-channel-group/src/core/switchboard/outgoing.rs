//! Frames that the parts of the switchboard have for members.

use crate::core::frame::ToMember;
use crate::core::ids::MemberId;

/// Frames for members, in order.
pub(crate) type Outgoing = Vec<(MemberId, ToMember)>;
