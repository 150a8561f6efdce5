//! How much of something each member has, so that nobody has too much.

use std::collections::BTreeMap;

use crate::core::ids::MemberId;
use crate::core::limits::MAX_ITEMS;

/// A number for each member that has any.
#[derive(Debug, Default)]
pub(crate) struct Counts(BTreeMap<MemberId, usize>);

impl Counts {
    pub(crate) fn add(&mut self, member: MemberId) -> Result<(), &'static str> {
        let count = self.0.entry(member).or_default();
        if *count >= MAX_ITEMS {
            return Err("more of one kind than a member may have");
        }
        *count += 1;
        Ok(())
    }

    pub(crate) fn remove(&mut self, member: MemberId) {
        if let Some(count) = self.0.get_mut(&member) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&member);
            }
        }
    }
}
