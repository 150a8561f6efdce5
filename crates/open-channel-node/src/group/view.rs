//! The members and the group's events, as JavaScript has them.

use napi_derive::napi;
use open_channel_group::{Event, LeaveReason, MemberId, MemberView, View};

use super::failure::GroupFailure;

/// A member's id: 16 hexadecimal digits.
pub(crate) fn shown(id: MemberId) -> String {
    format!("{:016x}", id.0)
}

/// The id that is shown so.
pub(crate) fn member_id(shown: &str) -> Option<MemberId> {
    u64::from_str_radix(shown, 16).ok().map(MemberId)
}

/// A member of the view.
#[napi(object)]
pub struct NativeMember {
    /// Its id.
    pub id: String,
    /// Its process, as it sees it.
    pub pid: u32,
    /// The program that runs in it.
    pub program: String,
    /// `node`, `rust` and so on.
    pub language: String,
    /// Pairs of a name and a value, one after the other.
    pub labels: Vec<String>,
    /// The services that it serves.
    pub services: Vec<String>,
}

impl From<&MemberView> for NativeMember {
    fn from(member: &MemberView) -> Self {
        let labels = member.info.labels.iter();
        Self {
            id: shown(member.id),
            pid: member.info.pid,
            program: member.info.program.clone(),
            language: member.info.language.clone(),
            labels: labels.flat_map(|(name, value)| [name.clone(), value.clone()]).collect(),
            services: member.services.iter().map(|name| name.as_str().to_owned()).collect(),
        }
    }
}

/// The members at one time.
#[napi(object)]
pub struct NativeView {
    /// It grows with each change.
    pub number: f64,
    /// In the order in which they joined.
    pub members: Vec<NativeMember>,
}

impl From<View> for NativeView {
    fn from(view: View) -> Self {
        Self {
            number: view.number as f64,
            members: view.members.iter().map(NativeMember::from).collect(),
        }
    }
}

/// An event of a group.
#[napi(object)]
#[derive(Default)]
pub struct GroupEvent {
    /// `serving`, `joined`, `left`, `putOut` or `over`.
    pub kind: String,
    /// For `serving`: the host's generation.
    pub generation: Option<f64>,
    /// For `joined`.
    pub member: Option<NativeMember>,
    /// For `left`: the member.
    pub id: Option<String>,
    /// For `left` and `putOut`.
    pub reason: Option<String>,
    /// For `over`: why, if it was not left.
    pub failure: Option<GroupFailure>,
}

/// `None` for a kind of event that this version has no name for.
pub(crate) fn describe(event: &Event) -> Option<GroupEvent> {
    let mut told = GroupEvent::default();
    let kind = match event {
        Event::Serving { generation, .. } => {
            told.generation = Some(*generation as f64);
            "serving"
        }
        Event::Joined { member, .. } => {
            told.member = Some(member.into());
            "joined"
        }
        Event::Left { id, reason, .. } => {
            told.id = Some(shown(*id));
            told.reason = Some(words(*reason).into());
            "left"
        }
        Event::PutOut { reason, .. } => {
            told.reason = Some(words(*reason).into());
            "putOut"
        }
        _ => return None,
    };
    told.kind = kind.into();
    Some(told)
}

fn words(reason: LeaveReason) -> &'static str {
    match reason {
        LeaveReason::Left => "left",
        LeaveReason::Died => "died",
        LeaveReason::Stalled => "stalled",
        LeaveReason::NotBack => "not back",
        LeaveReason::Violation => "violation",
        LeaveReason::TooMany => "too many",
        _ => "other",
    }
}
