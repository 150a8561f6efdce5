//! Peers, and hosts, that break the rules of the protocol, most of them those of the ring.
#![cfg_attr(
    open_channel_portable,
    allow(
        unused_variables,
        unused_mut,
        unreachable_code,
        reason = "there is no ring, so no rule of it"
    )
)]

mod endless;
mod footprint;
mod hosts;
mod memory;
mod noise;
mod offers;
mod peer;
mod rules;

pub(crate) use endless::{
    a_peer_that_never_empties_its_ring_costs_bounded_memory,
    a_peer_that_rings_without_end_holds_nobody_up,
};
pub(crate) use hosts::{
    a_host_that_breaks_the_rules_of_the_ring_gives_a_clear_error,
    a_host_that_takes_rings_which_nobody_offered_gives_a_clear_error,
    a_socket_says_hello_early_and_is_connected_no_earlier_than_its_process,
    a_socket_whose_process_is_put_off_goes_to_the_next_host,
};
pub(crate) use noise::a_peer_that_scribbles_in_the_shared_memory_hurts_nobody;
pub(crate) use offers::a_bad_offer_is_declined_and_the_socket_carries_on;
pub(crate) use rules::{
    a_peer_that_breaks_the_rules_and_is_gone_hurts_nobody,
    a_peer_that_breaks_the_rules_of_its_ring_loses_only_its_connection,
};
