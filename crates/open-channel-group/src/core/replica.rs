//! The common facts as every member has them: the view, the services and the map, at one mark.

use std::time::Duration;

use super::entry::{Change, Entry, Logged};
use super::ids::{Mark, MemberId};
use super::map::Map;
use super::name::Name;
use super::view::MemberView;

/// One replica of the common facts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Replica {
    pub(crate) mark: Mark,
    /// The members in the order in which they joined.
    pub(crate) members: Vec<MemberView>,
    /// Position of the entry that changed the members last.
    pub(crate) view_number: u64,
    pub(crate) map: Map,
}

impl Replica {
    pub(crate) fn member(&self, id: MemberId) -> Option<&MemberView> {
        self.members.iter().find(|member| member.id == id)
    }

    pub(crate) fn contains(&self, id: MemberId) -> bool {
        self.member(id).is_some()
    }

    /// Takes the next entry in.
    ///
    /// # Errors
    /// When it cannot follow what is here; the replica is as it was then.
    pub(crate) fn apply(&mut self, logged: &Logged, now: Duration) -> Result<(), &'static str> {
        if logged.tenure < self.mark.tenure {
            return Err("an entry of an earlier tenure");
        }
        let position = self.mark.position + 1;
        match &logged.entry {
            Entry::Begin { gone } => {
                self.members.retain(|member| !gone.contains(&member.id));
                self.view_number = position;
            }
            Entry::Join { id, info } => {
                if self.contains(*id) {
                    return Err("a member joins twice");
                }
                let services = Vec::new();
                self.members.push(MemberView { id: *id, info: info.clone(), services });
                self.view_number = position;
            }
            Entry::Leave { id, .. } => {
                self.members.retain(|member| member.id != *id);
                self.view_number = position;
            }
            Entry::Write { origin, change, .. } => self.change(*origin, change, position, now),
            Entry::Expire { key } => self.map.remove(key),
        }
        self.mark = Mark { tenure: logged.tenure, position };
        Ok(())
    }

    fn change(&mut self, origin: MemberId, change: &Change, position: u64, now: Duration) {
        match change {
            Change::Put { key, value, ttl } => {
                let expires = ttl.map(|ttl| now.saturating_add(ttl));
                self.map.put(key.clone(), value, position, expires);
            }
            Change::Remove { key } => self.map.remove(key),
            Change::Serve { service } => self.services(origin, position, |services| {
                if let Err(place) = services.binary_search(service) {
                    services.insert(place, service.clone());
                }
            }),
            Change::Unserve { service } => {
                let retain = |services: &mut Vec<Name>| services.retain(|one| one != service);
                self.services(origin, position, retain);
            }
        }
    }

    fn services(&mut self, of: MemberId, position: u64, change: impl FnOnce(&mut Vec<Name>)) {
        if let Some(member) = self.members.iter_mut().find(|member| member.id == of) {
            change(&mut member.services);
            self.view_number = position;
        }
    }
}
