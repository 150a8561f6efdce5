//! The members as every member has them.

use super::ids::MemberId;
use super::name::Name;
use super::wire::wire_struct;

wire_struct! {
    /// A member's words about itself; at most [`MAX_INFO`](super::MAX_INFO) bytes together.
    pub struct MemberInfo {
        /// Its process id, as it sees it.
        pub pid: u32,
        /// The program that runs in it.
        pub program: String,
        /// The language of that program.
        pub language: String,
        /// Labels that it gave itself.
        pub labels: Vec<(String, String)>,
    }
}

impl MemberInfo {
    pub(crate) fn cost(&self) -> usize {
        let labels = self.labels.iter().map(|(name, value)| 16 + name.len() + value.len());
        self.program.len() + self.language.len() + labels.sum::<usize>()
    }
}

wire_struct! {
    /// A member as the view has it.
    pub struct MemberView {
        /// Its id.
        pub id: MemberId,
        /// Its words about itself.
        pub info: MemberInfo,
        /// The services that it serves, in the order of their names.
        pub services: Vec<Name>,
    }
}
