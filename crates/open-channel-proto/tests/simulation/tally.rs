//! What happened in the simulated worlds: a simulation that never meets a case proves nothing about
//! it.

macro_rules! tally {
    ($($counter:ident,)*) => {
        #[derive(Debug, Default, Clone, PartialEq, Eq)]
        pub struct Tally {
            $(pub $counter: u64,)*
        }

        impl Tally {
            pub fn add(&mut self, other: &Self) {
                $(self.$counter += other.$counter;)*
            }

            pub fn assert_that_everything_happened(&self) {
                for (what, count) in [$((stringify!($counter), self.$counter)),*] {
                    assert!(count >= 20, "{what} happened {count} times only: the worlds are too tame");
                }
            }
        }
    };
}

tally! {
    delivered,
    redelivered,
    in_parts,
    refused,
    repeated,
    broken_links,
    crashes,
    handovers,
    fenced,
    resumed,
    moved,
    lost_welcomes,
    overtaken_hellos,
    outdated_hosts,
    carried,
    ended_before,
    finished,
    finished_before,
    reset,
    stores,
    stored,
    stored_first,
    stored_in_parts,
    larger_than_store,
    acks_beside_a_store,
    claims_refused,
    drained,
    taken_apart,
    stored_claimed,
    stored_unseen,
    half_stored,
    released_meanwhile,
    claimed_unseen,
    from_store_to_store,
    from_store_to_frames,
    packs_in_frames,
    packs_stored,
    packs_stored_first,
    packs_stored_in_parts,
    packs_half_stored,
    packs_larger_than_store,
    packs_refused,
    packs_too_large,
    packs_beyond_the_window,
    packs_repeated,
    packs_redelivered,
    packs_taken_apart,
    packs_taken_apart_that_came_back,
    given_back,
    given_back_and_held,
    given_back_for_the_last_time,
    rejected,
    rejected_and_nobody_to_tell,
    given_up_at_a_host,
    given_up_out_of_a_store,
    given_up_once_more,
    withdrawn_answers,
    taken_back_at_once,
    taken_back_on_the_link,
    taken_back_out_of_a_pack,
    taken_back_out_of_a_store,
    taken_back_after_the_link,
    taken_back_too_late,
    recalled_out_of_a_pack,
    recalled_too_late,
    third_attempts,
    more_attempts_than_allowed_by_version_1,
    undeliverable,
    gaps_in_frames,
    gaps_in_stores,
    gaps_that_version_1_cannot_tell,
    links_of_version_1,
    links_of_version_2,
    packs_stored_claimed,
    packs_stored_unseen,
    packs_half_handled_at_the_end_of_a_link,
    packs_half_handled_at_the_end_of_a_host,
    handled_backwards_in_a_pack,
    handled_across_packs,
    many_of_singles,
    many_of_packs,
    many_behind_one,
    many_up_to_the_end,
    many_up_to_a_mark,
    many_up_to_the_limit,
}
