//! The program from outside: real processes, each test in a runtime directory of its own.

mod demo;
mod doctor;
mod exec;
mod help;
mod interrupt;
mod join;
mod limits;
mod ls;
mod pipes;
mod program;
mod send;
mod top;
