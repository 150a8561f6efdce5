//! The contract, promise by promise, on every link. Each test is written once and runs on every
//! link of the system.
//!
//! One file per promise. A new link is one more `Kind` in `world.rs` and one more line in
//! `on_every_link!`.

/// Instantiates each test of a file for every link; a `blocking` test gets no runtime.
macro_rules! on_every_link {
    (blocking: $($test:ident),+ $(,)?) => { on_every_link!(@kinds run_blocking: $($test),+); };
    (@kinds $run:ident: $($test:ident),+) => {
        on_every_link!(@kind [cfg(all())] local Local $run: $($test),+);
        on_every_link!(@kind [cfg(all())] unix Unix $run: $($test),+);
        on_every_link!(@kind [cfg(all())] peer Peer $run: $($test),+);
        on_every_link!(@kind [cfg(all())] tcp Tcp $run: $($test),+);
        on_every_link!(@kind
            [cfg_attr(
                any(not(target_os = "linux"), open_channel_portable),
                ignore = "there are no rings between processes here"
            )]
            ring Ring $run: $($test),+);
    };
    (@kind $attribute:tt $module:ident $kind:ident $run:ident: $($test:ident),+) => {
        mod $module {
            $(
                #[test]
                # $attribute
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
mod tapping;
mod threads;
mod turns;
mod waking;
mod world;
