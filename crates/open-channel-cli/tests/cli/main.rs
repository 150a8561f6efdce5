//! The program from outside: real processes, each test in a runtime directory of its own.

mod demo;
mod join;
mod pipes;
mod program;
mod send;
