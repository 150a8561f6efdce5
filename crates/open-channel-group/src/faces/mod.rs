//! The faces of a group, as an application uses them. They know the engine's verbs only.

pub(crate) mod builder;
pub(crate) mod calls;
pub(crate) mod group;
pub(crate) mod handle;
pub(crate) mod locks;
pub(crate) mod map;
pub(crate) mod members;
pub(crate) mod queue;
pub(crate) mod topics;
