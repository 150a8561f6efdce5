//! FreeBSD.

pub(crate) use super::kqueue::{ProcessExit, file_system};
pub(crate) use super::one_namespace::process_namespace;
pub(crate) use super::temporary::{UserDirectory, short_link_folder};
pub(crate) use super::unlimited::{address_space_left, command_line, machine_memory, memory_left};
