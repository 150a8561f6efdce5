//! The engine on one channel: it drives a member, and the switchboard in whichever process hosts.
//!
//! ```text
//!   faces ── verbs ──▶ Driver ─ lock ─▶ State: Member, board, kernel locks ──▶ socket ──┐
//!                        ▲ its task, on the group's background thread                   │
//!                        └── messages, timers, changes of host ◀── socket               ▼
//!   Hub, in the process that hosts, on the same thread of its: Switchboard ◀── accepted sockets
//! ```
//!
//! A verb runs in its caller: it changes the member and sends what comes of it. Everything that
//! comes from outside is taken by tasks on the background thread, which also run the switchboard.
//! No application code runs there.

mod background;
mod board;
mod clock;
mod directory;
mod hub;
mod kernel;
mod member;
mod name_space;
mod owned;
mod state;
mod verbs;

pub(crate) use member::{Driver, Setup};
pub(crate) use name_space::NAME_SPACE;
