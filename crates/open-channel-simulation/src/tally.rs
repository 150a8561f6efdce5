//! Counts of the events in worlds: a simulation that never meets a case proves nothing about it.

use std::fmt::Debug;

/// The counts of one world, or of several; made by [`tally!`](crate::tally!).
pub trait Counts: Debug + Default + PartialEq + Send {
    /// Adds those of another world.
    fn add(&mut self, other: &Self);

    /// # Panics
    /// If some event happened too rarely.
    fn assert_that_everything_happened(&self);
}

/// A struct `Tally` with these counters. Each has to reach the least count over all default seeds.
///
/// ```
/// open_channel_simulation::tally! { at least 20: crashes, resumed, }
/// ```
#[macro_export]
macro_rules! tally {
    (at least $least:literal: $($counter:ident,)*) => {
        #[derive(Debug, Default, Clone, PartialEq, Eq)]
        pub struct Tally {
            $(pub $counter: u64,)*
        }

        impl $crate::Counts for Tally {
            fn add(&mut self, other: &Self) {
                $(self.$counter += other.$counter;)*
            }

            fn assert_that_everything_happened(&self) {
                for (what, count) in [$((stringify!($counter), self.$counter)),*] {
                    assert!(count >= $least, "{what} happened {count} times: the worlds are too tame");
                }
            }
        }
    };
}
