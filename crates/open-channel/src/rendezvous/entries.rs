//! The files of a channel's directory, by their names.

use std::io;

use crate::rendezvous::directory::ChannelDir;
use crate::rendezvous::token::{Purpose, Token};
use crate::sys::Listing;

/// Digits of a generation's file name: all of a `u64`, so that names sort like numbers.
const GENERATION_DIGITS: usize = 20;
/// The highest generation: the largest number that JavaScript represents exactly.
pub(crate) const MAX_GENERATION: u64 = (1 << 53) - 1;

pub(crate) fn read_link(dir: &ChannelDir, generation: u64) -> io::Result<Option<Token>> {
    let text = dir.files().published(&link_name(generation))?;
    Ok(text.and_then(|text| Token::parse(&text)))
}

pub(crate) fn exists(dir: &ChannelDir, name: &str) -> io::Result<bool> {
    dir.files().exists(name)
}

pub(crate) fn link_name(generation: u64) -> String {
    format!("{generation:0GENERATION_DIGITS$}")
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Entry {
    Generation(u64),
    Lock(Token),
    NewLock(Token),
    Address(Token),
}

impl Entry {
    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        if let Some((token, purpose)) = Token::of_file(name) {
            return Some(match purpose {
                Purpose::Lock => Self::Lock(token),
                Purpose::NewLock => Self::NewLock(token),
                Purpose::Address => Self::Address(token),
            });
        }
        let digits =
            std::str::from_utf8(name).ok().filter(|name| name.len() == GENERATION_DIGITS)?;
        digits
            .parse()
            .ok()
            .filter(|&generation| (1..=MAX_GENERATION).contains(&generation))
            .map(Self::Generation)
    }

    pub(crate) fn generation(self) -> Option<u64> {
        match self {
            Self::Generation(generation) => Some(generation),
            Self::Lock(_) | Self::NewLock(_) | Self::Address(_) => None,
        }
    }
}

pub(crate) fn entries(dir: &ChannelDir) -> io::Result<Vec<Entry>> {
    list(&mut dir.files().listing()?)
}

fn list(listing: &mut Listing) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    listing.each(|name| found.extend(Entry::parse(name)))?;
    Ok(found)
}

/// A host as its directory shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) generation: u64,
    pub(crate) token: Token,
}

/// The host of the highest generation, alive or not; `None` in a directory that never had one.
pub(crate) fn current(dir: &ChannelDir) -> io::Result<Option<Published>> {
    highest(dir, entries(dir)?)
}

/// [`current`], through a listing that is open already: needs no new descriptor.
pub(crate) fn current_in(dir: &ChannelDir, listing: &mut Listing) -> io::Result<Option<Published>> {
    highest(dir, list(listing)?)
}

/// The highest generation below `limit` of these entries that is a host's link.
pub(crate) fn highest_below(
    dir: &ChannelDir,
    entries: &[Entry],
    limit: u64,
) -> io::Result<Option<u64>> {
    let mut generations: Vec<u64> = entries.iter().filter_map(|entry| entry.generation()).collect();
    generations.retain(|&generation| generation < limit);
    generations.sort_unstable_by_key(|&generation| std::cmp::Reverse(generation));
    for generation in generations {
        if read_link(dir, generation)?.is_some() {
            return Ok(Some(generation));
        }
    }
    Ok(None)
}

fn highest(dir: &ChannelDir, entries: Vec<Entry>) -> io::Result<Option<Published>> {
    let mut latest: Option<Published> = None;
    for generation in entries.into_iter().filter_map(Entry::generation) {
        if latest.is_some_and(|latest| generation <= latest.generation) {
            continue;
        }
        if let Some(token) = read_link(dir, generation)? {
            latest = Some(Published { generation, token });
        }
    }
    Ok(latest)
}

pub(crate) fn remove(dir: &ChannelDir, name: &str) {
    // The next host's sweep removes what cannot be removed now.
    let _ = dir.files().remove(name);
}
