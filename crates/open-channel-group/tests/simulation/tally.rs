//! Counts of all that happened in the simulated groups: a simulation that never meets a case
//! proves nothing about it.

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
                    assert!(count >= 10, "{what} happened {count} times: the worlds are too tame");
                }
            }
        }
    };
}

tally! {
    // Processes and hosts.
    crashes,
    host_crashes,
    host_crashes_while_recovering,
    stops,
    host_stops,
    outdated_hosts,
    handovers,
    leaves,
    left,
    first_hosts,
    newcomer_hosts,
    successor_hosts,
    hosts_behind,
    hosts_out_of_the_view,
    put_out_stalled,
    put_out_not_back,
    rejoined,
    silent,
    reported_gone,
    late_messages,
    repeated_messages,
    // Topics.
    published,
    publications_over_a_change_of_host,
    publications_unknown,
    delivered,
    handled,
    missed,
    interrupted,
    window_full,
    order_compared,
    // Calls.
    answered,
    failed,
    calls_over_a_change_of_host,
    died,
    timed_out,
    no_such_service,
    cancelled,
    calls_unknown,
    asked_again,
    requests_cancelled,
    all_answered,
    all_with_deaths,
    all_with_timeouts,
    // Locks.
    acquired,
    acquired_shared_together,
    acquired_after_a_death,
    acquired_over_a_change_of_host,
    held_over_a_change_of_host,
    held_while_out,
    denied,
    busy,
    stolen,
    outdated_turns,
    // Queues.
    done,
    runs,
    runs_again,
    runs_again_after_a_death,
    jobs_over_a_change_of_host,
    runs_cancelled,
    exhausted,
    terminated,
    withdrawn,
    // Map.
    written,
    counted,
    writes_over_a_change_of_host,
    writes_unknown,
    conflicts,
    unchanged,
    not_a_number,
    map_full,
    expired,
    watched,
    watches_that_missed,
    replicas_compared,
    reads_checked,
    acknowledged_by_the_dead,
}
