//! Nothing is left behind: a process that leaves a channel and finds nobody alive in its directory
//! removes it.
//!
//! Generations must not begin anew for that. Before the links go, the highest of them is put down
//! in the root as `generations/<generation>`, and a directory without links goes on from the
//! highest entry there. That one entry stays, for all channels together; each lower one is removed.
//!
//! No process holds a lock for this, so none can be stopped in the middle of it and hold the others
//! up. Only an empty directory can be removed, and nothing can be made in one that was. A candidate
//! that has a file in it by then stays in it, and finds out after publishing that the links were
//! removed before.

use crate::error::Error;
use crate::rendezvous::directory::{ChannelDir, Missing};
use crate::rendezvous::entries::{
    Entry, MAX_GENERATION, entries, highest_below, link_name, read_link, remove,
};
use crate::rendezvous::identity::is_channel;
use crate::rendezvous::lock_file;
use crate::rendezvous::versions;
use crate::sys::{self, Step};

/// The directory in the root that remembers removed directories. No channel's has such a name, for
/// those have a `-`.
const GENERATIONS: &str = "generations";
/// Entries of the root that are listed at most to find other channels' directories, and how many of
/// these are looked at: leaving takes no time that grows with what others left behind.
const LISTED: usize = 256;
const LOOKED_AT: usize = 4;

/// The highest generation of the directories that were removed from this root; 0 if there were
/// none.
///
/// # Errors
/// It cannot be read, or there is no generation above it.
pub(crate) fn past(dir: &ChannelDir) -> Result<u64, Error> {
    match dir.beside(GENERATIONS, Missing::Leave) {
        Ok(past) => {
            let highest = generations(&past)?.into_iter().max().unwrap_or(0);
            if highest < MAX_GENERATION {
                return Ok(highest);
            }
            let entry = link_name(highest);
            let problem = format!("its entry {entry} is the last generation: remove that entry");
            Err(Error::directory(past.path(), problem))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn generations(past: &ChannelDir) -> Result<Vec<u64>, Error> {
    let entries = entries(past).map_err(|error| Error::io("reading past generations", error))?;
    Ok(entries.into_iter().filter_map(Entry::generation).collect())
}

/// Removes the directory, unless somebody is alive in it or something else lies there; says whether
/// it is gone.
///
/// # Errors
/// A step that cannot be done now: then the directory stays, with its generations.
pub(crate) fn remove_if_deserted(dir: &ChannelDir) -> Result<bool, Error> {
    let reading = |error| Error::io("reading the directory", error);
    let entries = entries(dir).map_err(reading)?;
    for &entry in &entries {
        let lives = match entry {
            Entry::Lock(token) => lock_file::is_alive(dir, token)?,
            Entry::NewLock(token) => lock_file::is_in_the_making(dir, token)?,
            // Its lock was there before it, even if this listing was too early for the lock.
            Entry::Generation(generation) => match read_link(dir, generation).map_err(reading)? {
                Some(token) => lock_file::is_alive(dir, token)?,
                None => false,
            },
            Entry::Address(_) => false,
        };
        if lives {
            return Ok(false);
        }
    }
    if versions::is_anybody_there(dir).map_err(reading)? || !dir.is_where_others_look() {
        return Ok(false);
    }
    // Taken from the listing in which nobody was alive, not from a later one.
    let latest = highest_below(dir, &entries, u64::MAX).map_err(reading)?.unwrap_or(0);
    if latest > 0 {
        put_down(dir, latest)?;
    }
    lock_file::sweep(dir, &entries);
    versions::sweep(dir);
    // Lowest first: while a link is there, those above it have not been removed.
    let mut links: Vec<u64> = entries.into_iter().filter_map(Entry::generation).collect();
    links.retain(|&generation| generation <= latest);
    links.sort_unstable();
    links.into_iter().for_each(|generation| remove(dir, &link_name(generation)));
    sys::remove_directory(dir.path()).map_err(|error| Error::io("removing the directory", error))
}

/// Removes a few of the other channels' directories if they are deserted: names that never come
/// again have nobody else to do it.
pub(crate) fn remove_others(dir: &ChannelDir) {
    let Some(listed) = dir.path().parent().and_then(|root| std::fs::read_dir(root).ok()) else {
        return;
    };
    let names = listed.take(LISTED).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names: Vec<String> = names.filter(|name| is_channel(name)).collect();
    // Anywhere, so that those of living channels are not looked at again and again.
    let begin = getrandom::u32().map_or(0, |random| random as usize % names.len().max(1));
    for name in names.iter().cycle().skip(begin).take(LOOKED_AT.min(names.len())) {
        let removed = dir.beside(name, Missing::Leave).and_then(|dir| remove_if_deserted(&dir));
        if let Err(error) = removed {
            tracing::debug!(name, %error, "another channel's directory stays");
        }
    }
}

/// Remembers a generation, and forgets those below the highest one that is remembered.
fn put_down(dir: &ChannelDir, generation: u64) -> Result<(), Error> {
    let past = dir.beside(GENERATIONS, Missing::Make)?;
    past.files().mark(&link_name(generation)).map_err(|error| past.failed(Step::Publish, error))?;
    let mut lower = generations(&past)?;
    lower.sort_unstable();
    lower.pop();
    lower.into_iter().for_each(|generation| remove(&past, &link_name(generation)));
    Ok(())
}
