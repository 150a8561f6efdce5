//! A replica together with the entries that not every member is known to have.

use std::collections::VecDeque;
use std::time::Duration;

use super::entry::Logged;
use super::ids::Mark;
use super::replica::Replica;

/// No log gets so far; whoever says so is wrong, and would make positions overflow.
const LAST_POSITION: u64 = u64::MAX / 2;

/// A replica, and the last entries that led to it.
///
/// ```text
///   1 ······ stable │ stable + 1 ······ mark │
///   every member    │ held here, to be       │
///   has these       │ passed on              │
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Log {
    replica: Replica,
    stable: Mark,
    held: VecDeque<Logged>,
    held_bytes: usize,
}

impl Log {
    /// A log that goes on from a snapshot.
    ///
    /// # Errors
    /// When the history does not lead from the stable mark to the replica's.
    pub(crate) fn restore(
        replica: Replica,
        stable: Mark,
        held: VecDeque<Logged>,
    ) -> Result<Self, &'static str> {
        let end = stable.position.checked_add(held.len() as u64);
        let tenure = held.back().map_or(stable.tenure, |last| last.tenure);
        if replica.mark.position > LAST_POSITION
            || end != Some(replica.mark.position)
            || tenure != replica.mark.tenure
        {
            return Err("a history that does not lead to its snapshot");
        }
        let held_bytes = held.iter().map(|logged| logged.entry.cost()).sum();
        Ok(Self { replica, stable, held, held_bytes })
    }

    pub(crate) fn replica(&self) -> &Replica {
        &self.replica
    }

    pub(crate) fn mark(&self) -> Mark {
        self.replica.mark
    }

    pub(crate) fn stable(&self) -> Mark {
        self.stable
    }

    /// The entries after the stable mark.
    pub(crate) fn held(&self) -> &VecDeque<Logged> {
        &self.held
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Appends an entry and applies it.
    ///
    /// # Errors
    /// When it cannot follow.
    pub(crate) fn append(&mut self, logged: Logged, now: Duration) -> Result<(), &'static str> {
        self.replica.apply(&logged, now)?;
        self.held_bytes += logged.entry.cost();
        self.held.push_back(logged);
        Ok(())
    }

    /// Whether a replica at this mark is a beginning of this one, as far as that is known.
    pub(crate) fn contains(&self, mark: Mark) -> bool {
        match mark.position.checked_sub(self.stable.position) {
            None => false,
            Some(0) => mark == self.stable,
            Some(after) => usize::try_from(after - 1)
                .ok()
                .and_then(|index| self.held.get(index))
                .is_some_and(|logged| logged.tenure == mark.tenure),
        }
    }

    /// The entries after a mark that this log contains.
    pub(crate) fn after(&self, mark: Mark) -> impl Iterator<Item = &Logged> {
        let skip = mark.position.saturating_sub(self.stable.position);
        self.held.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX))
    }

    /// Every member has the entries up to this position.
    pub(crate) fn settle(&mut self, position: u64) {
        while self.stable.position < position
            && let Some(logged) = self.held.pop_front()
        {
            self.held_bytes -= logged.entry.cost();
            self.stable = Mark { tenure: logged.tenure, position: self.stable.position + 1 };
        }
    }
}
