//! The contract, promise by promise, on every link. Each test is written once and runs on every
//! link of the system.
//!
//! One file per promise. A new link is one more `Kind` in `world.rs` and one more line in
//! `on_every_link!`.

/// Instantiates each test of a file for every link; a `blocking` test gets no runtime.
macro_rules! on_every_link {
    (blocking: $($test:ident),+ $(,)?) => { on_every_link!(@kinds run_blocking: $($test),+); };
    (@kinds $run:ident: $($test:ident),+) => {
        on_every_link!(@kind local Local $run: $($test),+);
        on_every_link!(@kind unix Unix $run: $($test),+);
        on_every_link!(@kind peer Peer $run: $($test),+);
        on_every_link!(@kind ring Ring $run: $($test),+);
    };
    (@kind $module:ident $kind:ident $run:ident: $($test:ident),+) => {
        mod $module {
            $(
                #[test]
                fn $test() {
                    crate::world::$run(crate::world::Kind::$kind, super::$test);
                }
            )+
        }
    };
    ($($test:ident),+ $(,)?) => { on_every_link!(@kinds run: $($test),+); };
}

mod acknowledgement;
mod attempts;
mod batches;
mod blocking;
mod bounds;
mod bytes;
mod cancelling;
mod closing;
mod connecting;
mod copying;
mod executors;
mod halves;
mod identity;
mod leaving;
mod order;
mod reading;
mod reserving;
mod silence;
mod taking_back;
mod threads;
mod turns;
mod waking;
mod world;
