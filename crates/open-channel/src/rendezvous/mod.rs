//! How a name becomes a place: scopes, names, and a private directory that nobody else can enter.

pub(crate) mod directory;
pub(crate) mod election;
pub(crate) mod endpoint;
pub(crate) mod entries;
pub(crate) mod fence;
mod filesystem;
pub(crate) mod generation_file;
pub(crate) mod identity;
pub(crate) mod listing;
pub(crate) mod lock_file;
mod port_file;
pub(crate) mod removal;
pub(crate) mod root;
pub(crate) mod token;
pub(crate) mod versions;
