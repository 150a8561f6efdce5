//! The program from outside: real processes, each test in a runtime directory of its own.

mod bench;
mod commands;
mod demo;
mod doctor;
mod exec;
mod group_calls;
mod group_lead;
mod group_lock;
mod group_map;
mod group_pubsub;
mod group_queue;
mod groups;
mod help;
mod interrupt;
mod join;
#[cfg(unix)]
mod ledger;
mod limits;
mod ls;
mod pipes;
mod program;
mod send;
mod tap;
mod top;
