//! Panics that a test asks for.

/// The payload of such a panic.
pub(crate) struct AskedTo;

/// A requested panic is not printed: with `RUST_BACKTRACE` set it would be long.
pub(super) fn print_the_others_only() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload().is::<AskedTo>() {
            usual(panic);
        }
    }));
}
