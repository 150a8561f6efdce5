//! Groups: the faces of `open-channel-group` as objects that JavaScript polls.
//!
//! Member and switchboard run on a background thread of the library. JavaScript begins things and
//! looks at what has come of them when it is woken: no call into JavaScript is made for a single
//! message. A future of the library is polled on the JavaScript thread, so that what JavaScript
//! begins goes out at once, in its order.
//!
//! What JavaScript was given and has not dealt with is never handled: when its thread ends, the
//! group is abandoned before anything of this is dropped (`ending`).
//!
//! | file | is |
//! | --- | --- |
//! | `group` | joining, the view, the events; `operations`: what ends once |
//! | `calls`, `answers`, `map` | more of what ends once |
//! | `subscription`, `lock`, `service`, `worker` | what goes on |
//! | `opened`, `assigned` | what these are made of: opening, and what JavaScript was given to do |
//! | `futures` | polling the library's futures |
//! | `failure`, `options` | errors and settings, as JavaScript has them |

mod answers;
mod assigned;
mod calls;
mod ending;
mod failure;
mod futures;
#[allow(clippy::module_inception)]
mod group;
mod lock;
mod map;
mod opened;
mod operations;
mod options;
mod service;
mod subscription;
mod view;
mod worker;
