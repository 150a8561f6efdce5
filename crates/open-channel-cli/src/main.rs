//! The program `open-channel`.
fn main() {}
