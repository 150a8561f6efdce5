//! The end of a JavaScript thread that is still a member: the group is left as by a kill.

use std::sync::{Arc, Mutex, PoisonError};

use napi::{CleanupEnvHook, Env};
use open_channel_group::{Group, ffi};

/// The group to abandon, if there is one.
type Left = Arc<Mutex<Option<Group>>>;

/// Abandons a group when its JavaScript thread ends, before anything else of it is dropped: to drop
/// a message counts as handling it.
pub(crate) struct Ending {
    group: Left,
    hook: CleanupEnvHook<Left>,
}

impl Ending {
    pub(crate) fn new(env: Env, group: Group) -> napi::Result<Self> {
        let group = Left::new(Mutex::new(Some(group)));
        let hook = env.add_env_cleanup_hook(Arc::clone(&group), |group| {
            let group = group.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(group) = group {
                ffi::abandon(&group);
            }
        })?;
        Ok(Self { group, hook })
    }

    /// The group was left in another way.
    pub(crate) fn cancel(self, env: Env) {
        self.group.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It does nothing now, should it stay.
        let _ = env.remove_env_cleanup_hook(self.hook);
    }
}
