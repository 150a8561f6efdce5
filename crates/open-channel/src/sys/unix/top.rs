//! Where the paths of this process begin.

use std::os::unix::fs::MetadataExt;

/// Device and inode of `/`, which differ after `chroot`; `None` if it cannot be looked at.
pub(crate) fn top_directory() -> Option<(u64, u64)> {
    std::fs::metadata("/").ok().map(|meta| (meta.dev(), meta.ino()))
}
