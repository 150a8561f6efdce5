//! A switchboard's answer to the question how its group is: for people, and for programs that show
//! it to them.

use bytes::{BufMut, Bytes, BytesMut};

use super::error::FrameError;
use super::frame::LockName;
use super::ids::MemberId;
use super::name::Name;
use super::pattern::Pattern;
use super::view::MemberView;
use super::wire::{Reader, Wire, wire_struct};

/// The version of this answer. It is independent of the frames' version.
const VERSION: u8 = 1;

/// Most members, locks and queues that one answer describes, and most bytes of what members say of
/// themselves.
pub(crate) const MOST_DESCRIBED: usize = 1024;
pub(crate) const MOST_BYTES: usize = 512 << 10;
/// Most holders of one lock.
pub(crate) const MOST_HOLDERS: usize = 16;
/// Most patterns of one member's subscriptions.
pub(crate) const MOST_PATTERNS: usize = 16;

wire_struct! {
    /// A group, as the process that hosts it sees it.
    #[derive(Default)]
    pub struct GroupStatus {
        /// The group's name.
        pub name: String,
        /// Number of the host: the channel's generation.
        pub tenure: u64,
        /// Whether it serves its members. A new host waits for them first.
        pub serving: bool,
        /// How many members there are.
        pub member_count: u64,
        /// Those that are described, in the order in which they joined.
        pub members: Vec<MemberStatus>,
        /// How many locks and roles are held or waited for.
        pub lock_count: u64,
        /// Those that are described, by name.
        pub locks: Vec<LockStatus>,
        /// How many queues have workers or jobs that wait.
        pub queue_count: u64,
        /// Those that are described, by name.
        pub queues: Vec<QueueStatus>,
        /// Publications that not all subscribers have handled, and their bytes.
        pub publications: (u64, u64),
        /// Keys of all maps together, and the bytes that they count.
        pub map: (u64, u64),
    }
}

wire_struct! {
    /// A member, as its host sees it.
    pub struct MemberStatus {
        /// Its words about itself, and its services.
        pub view: MemberView,
        /// How many subscriptions it has.
        pub subscription_count: u64,
        /// Patterns of the first of them.
        pub subscriptions: Vec<Pattern>,
        /// Bytes that are published to it and that it has not handled.
        pub unhandled: u64,
        /// Locks and roles that it holds.
        pub locks_held: u64,
        /// Locks and roles that it waits for.
        pub locks_waited_for: u64,
        /// How many workers it has, over all queues.
        pub workers: u64,
        /// Jobs that its workers have.
        pub jobs_running: u64,
        /// Jobs that it has pushed and that wait for a worker.
        pub jobs_waiting: u64,
    }
}

wire_struct! {
    /// A lock or a role.
    pub struct LockStatus {
        /// Its name.
        pub name: LockName,
        /// Members that have it, or whose turn it is.
        pub holders: Vec<MemberId>,
        /// How many wait for it.
        pub waiting: u64,
    }
}

wire_struct! {
    /// A queue.
    pub struct QueueStatus {
        /// Its name.
        pub name: Name,
        /// How many workers it has.
        pub workers: u64,
        /// Jobs that they have.
        pub running: u64,
        /// Jobs that wait for a worker with room.
        pub waiting: u64,
    }
}

impl GroupStatus {
    /// The answer as bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        self.put(&mut out);
        out.freeze()
    }

    /// The answer in these bytes.
    ///
    /// # Errors
    /// When they are not one.
    pub fn decode(bytes: Bytes) -> Result<Self, FrameError> {
        let mut input = Reader::new(bytes);
        match input.byte()? {
            VERSION => {}
            version => return Err(FrameError::Version(version)),
        }
        let status = Self::take(&mut input)?;
        input.finish()?;
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{LockSpace, MemberInfo};

    fn sample() -> GroupStatus {
        let name = |text| Name::new(text).expect("a name");
        let info = MemberInfo {
            pid: 4711,
            program: "node".into(),
            language: "js".into(),
            labels: vec![("role".into(), "web".into())],
        };
        let member = MemberStatus {
            view: MemberView { id: MemberId(7), info, services: vec![name("price")] },
            subscription_count: 2,
            subscriptions: vec![Pattern::new("log.>").expect("a pattern")],
            unhandled: 1 << 40,
            locks_held: 1,
            locks_waited_for: 0,
            workers: 1,
            jobs_running: 3,
            jobs_waiting: 4,
        };
        let lock = LockName { space: LockSpace::Lead, name: name("cron") };
        let queue = QueueStatus { name: name("bake"), workers: 1, running: 0, waiting: 9 };
        GroupStatus {
            name: "shop".into(),
            tenure: 3,
            serving: true,
            member_count: 1,
            members: vec![member],
            lock_count: 1,
            locks: vec![LockStatus { name: lock, holders: vec![MemberId(7)], waiting: 2 }],
            queue_count: 1,
            queues: vec![queue],
            publications: (1, 2),
            map: (3, 4),
        }
    }

    #[test]
    fn an_answer_is_decoded_as_it_was_encoded() {
        for status in [sample(), GroupStatus::default()] {
            assert_eq!(GroupStatus::decode(status.encode()), Ok(status));
        }
    }

    #[test]
    fn an_answer_that_is_cut_or_changed_is_an_error_or_another_answer() {
        let whole = sample().encode();
        for len in 0..whole.len() {
            assert!(GroupStatus::decode(whole.slice(..len)).is_err(), "{len} bytes");
        }
        let longer = [&whole[..], b"x"].concat();
        assert_eq!(GroupStatus::decode(longer.into()), Err(FrameError::Trailing(1)));
        for place in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = whole.to_vec();
                changed[place] = byte;
                // It neither panics nor sets memory aside for what is not there.
                let _ = GroupStatus::decode(changed.into());
            }
        }
        assert_eq!(GroupStatus::decode(vec![2].into()), Err(FrameError::Version(2)));
    }
}
