//! Tests with several real processes, killed for real. One executable serves for both: with
//! `OPEN_CHANNEL_TEST_ACTOR` set it is one of those processes, otherwise it runs the tests.

#![cfg_attr(not(target_os = "linux"), no_main)] // elsewhere it is empty
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use libtest_mimic::{Arguments, Trial};

mod actor;
mod calls;
mod control_group;
mod directories;
mod environment;
mod failover;
mod fencing;
mod fork;
mod generations;
mod handover;
mod herd;
mod hostile;
mod isolation;
mod ledger;
mod leftovers;
mod lifetime;
mod links;
mod locks;
mod log;
mod mixture;
mod outside;
mod portable;
mod raw;
mod rendezvous;
mod resume;
mod ring;
mod silence;
mod stage;
mod tcp;
mod versions;
mod whereabouts;

/// Makes a test of each function: its module and its name, under a watchdog.
macro_rules! sentences {
    ($($module:ident { $($test:ident),* $(,)? })*) => {
        vec![$($(sentence(concat!(stringify!($module), "::", stringify!($test)), $module::$test)),*),*]
    };
}

/// The same, with every process on this link.
macro_rules! on_link {
    ($link:literal: $($module:ident { $($test:ident),* $(,)? })*) => {
        vec![$($(sentence(
            concat!($link, "::", stringify!($module), "::", stringify!($test)),
            |stage| {
                stage.force_link($link);
                $module::$test(stage);
            },
        )),*),*]
    };
}

fn sentence(
    name: impl Into<String>,
    test: impl FnOnce(&mut stage::Stage) + Send + 'static,
) -> Trial {
    let name = name.into();
    Trial::test(name.clone(), move || {
        stage::run(&name, test);
        Ok(())
    })
}

fn main() {
    if std::env::var_os(actor::variables::TASK).is_some() {
        actor::main();
    }
    let mut arguments = Arguments::from_args();
    // Each test is many processes, which wait for each other most of the time.
    arguments.test_threads.get_or_insert(2);
    let root = rustix::process::geteuid().is_root();
    let namespaces = stage::may_unshare();
    let mut tests = sentences! {
        herd {
            thirty_two_processes_starting_at_once_find_one_host,
            two_processes_at_the_very_same_instant_find_one_host,
            a_herd_that_sends_before_anybody_hosts_loses_nothing,
        }
        failover {
            a_host_killed_again_and_again_under_traffic_loses_nothing,
            large_messages_survive_the_hosts_that_die_in_the_middle_of_them,
            replies_that_reached_the_peer_come_before_the_loss_of_the_host,
            what_was_acknowledged_is_never_delivered_again,
            what_was_taken_and_not_acknowledged_is_delivered_again_marked,
            what_a_process_holds_when_it_exits_comes_to_the_next_host,
            a_socket_that_does_not_reconnect_fails_with_its_host,
            peers_that_never_host_wait_for_the_next_host,
        }
        fencing {
            a_stopped_host_is_replaced_and_handles_nothing_more,
            peers_of_a_fenced_host_are_not_told_of_a_hand_over,
            a_host_stopped_in_the_middle_of_traffic_loses_nothing,
            a_short_stop_changes_nothing,
            a_stopped_peer_changes_nothing,
            a_stopped_host_that_nobody_can_replace_is_found_again,
            a_host_whose_application_is_busy_is_not_fenced,
        }
        handover {
            an_orderly_close_under_traffic_loses_and_repeats_nothing,
            hosting_goes_round_by_orderly_closes,
            a_handler_that_does_not_finish_cannot_hold_up_the_hand_over,
            a_newcomer_is_put_off_while_a_host_leaves,
            a_host_that_closes_delivers_nothing_more_from_the_call_on,
        }
        isolation {
            a_panicking_listener_takes_down_its_connection_only,
            raw_nonsense_hurts_nobody,
            nonsense_after_a_good_handshake_hurts_nobody,
            a_peer_of_another_version_is_rejected_with_the_versions,
            a_host_of_another_version_gives_a_clear_error,
            words_of_the_other_side_cannot_steer_a_terminal,
            a_host_that_lies_about_its_generation_gives_a_clear_error,
            a_peer_that_never_reads_costs_bounded_memory,
            a_hostile_peer_that_claims_an_endless_window_costs_bounded_memory,
            a_listener_that_never_reads_makes_its_sender_wait,
            five_hundred_connections_are_all_served,
            a_host_out_of_descriptors_waits_without_spinning,
            a_socket_that_its_host_cannot_take_says_so_in_time,
            a_host_out_of_descriptors_is_never_one_of_two,
        }
        environment {
            the_environment_names_the_application_and_a_setting_goes_before_it,
            an_environment_that_makes_no_sense_is_refused_and_named,
            a_timeout_names_the_application_and_what_to_do,
        }
        rendezvous {
            what_a_killed_host_left_behind_is_cleared_away,
            a_generation_taken_by_something_else_is_passed_over,
            a_deleted_socket_file_is_restored,
            a_deleted_lock_file_is_restored,
            a_deleted_generation_never_leaves_two_hosts,
            a_channel_directory_deleted_under_a_live_host_loses_nothing,
            a_runtime_directory_deleted_under_a_live_host_is_survived,
            a_missing_directory_is_made_private,
            a_directory_of_somebody_else_is_refused,
            a_symbolic_link_is_refused,
            a_directory_open_to_others_is_refused,
            a_read_only_directory_is_a_clear_error,
            a_stopped_host_that_cannot_be_replaced_for_want_of_permission_is_found_again,
            every_name_is_a_channel_of_its_own,
            a_path_too_long_for_a_socket_works,
            a_fork_that_outlives_the_host_does_not_hold_the_channel,
        }
        directories {
            a_runtime_directory_that_was_moved_is_survived,
            a_channel_directory_that_was_moved_is_survived,
            a_relative_directory_is_the_one_that_was_meant_at_first,
            the_directory_in_use_is_told,
        }
        generations {
            a_generation_file_goes_on_where_a_new_directory_would_begin_anew,
            with_a_generation_file_no_two_hosts_ever_have_one_generation,
            thirty_two_processes_with_a_generation_file_find_one_host,
            hosts_killed_while_they_take_over_never_share_a_generation,
            a_generation_file_that_cannot_be_used_is_a_clear_error,
            a_generation_file_that_somebody_holds_is_waited_for,
            those_who_wait_for_the_generation_file_do_not_wait_for_a_stuck_host_again,
            a_last_generation_that_is_remembered_for_all_channels_is_named,
        }
        leftovers {
            a_thousand_names_leave_one_entry_behind,
            generations_go_on_when_the_directory_was_removed,
            what_killed_processes_leave_the_next_one_removes,
            names_of_killed_processes_that_never_come_again_are_removed_by_others,
            whoever_only_joins_removes_what_is_left,
            a_directory_with_something_else_in_it_stays,
            a_herd_that_comes_and_goes_loses_nothing_and_leaves_nothing,
            a_herd_of_which_some_are_killed_loses_nothing_and_leaves_nothing,
        }
        locks {
            what_cannot_be_swept_away_does_not_undo_an_election,
            a_file_system_that_cannot_do_it_is_an_error_at_once,
            a_peer_that_cannot_host_waits_for_one_that_can,
            a_volume_with_a_group_of_its_own_gives_a_clear_error,
        }
        resume {
            broken_connections_resume_exactly_once,
            a_welcome_that_got_lost_leaves_no_second_session,
            a_welcome_that_nobody_waits_for_does_not_end_the_socket,
            half_a_socket_resumes_like_a_whole_one,
            a_session_is_kept_for_the_resume_timeout,
        }
        ring {
            hosts_killed_while_they_read_and_write_lose_and_tear_nothing,
            peers_killed_while_they_read_and_write_tear_nothing,
            a_peer_that_cannot_share_memory_stays_with_the_socket,
            a_host_that_cannot_share_memory_stays_with_the_socket,
            without_address_space_the_socket_carries_on,
            a_limit_to_the_size_of_files_is_respected,
            the_rings_of_a_process_take_no_more_than_they_may_together,
            rings_grow_with_what_they_carry_as_far_as_they_may,
            with_few_descriptors_left_the_socket_carries_on,
            both_sides_say_which_link_they_use,
            a_stopped_host_takes_nothing_more_from_its_ring,
            a_ring_leaves_nothing_behind,
        }
        calls {
            messages_that_are_there_take_no_system_call,
            an_idle_channel_sleeps,
        }
        hostile {
            a_bad_offer_is_declined_and_the_socket_carries_on,
            a_peer_that_breaks_the_rules_of_its_ring_loses_only_its_connection,
            a_peer_that_breaks_the_rules_and_is_gone_hurts_nobody,
            a_peer_that_scribbles_in_the_shared_memory_hurts_nobody,
            a_peer_that_rings_without_end_holds_nobody_up,
            a_peer_that_never_empties_its_ring_costs_bounded_memory,
            a_host_that_breaks_the_rules_of_the_ring_gives_a_clear_error,
            a_host_that_takes_rings_which_nobody_offered_gives_a_clear_error,
            a_socket_says_hello_early_and_is_connected_no_earlier_than_its_process,
            a_socket_whose_process_is_put_off_goes_to_the_next_host,
        }
        links {
            where_no_socket_file_can_be_made_the_host_listens_on_tcp,
            a_forced_socket_is_an_error_where_none_can_be_made,
            without_tcp_the_error_is_that_of_the_socket,
            links_that_do_not_meet_are_both_named,
            whoever_had_a_host_waits_for_the_next_one_with_its_link,
            the_environment_forces_a_link_and_a_setting_goes_before_it,
        }
        tcp {
            a_peer_by_the_letter_of_the_protocol_is_welcomed,
            nothing_listens_beyond_this_machine,
            strangers_at_the_port_are_turned_away,
            half_a_handshake_holds_nobody_up,
            five_thousand_silent_connections_keep_nobody_out,
            whatever_is_no_port_file_is_named,
            another_program_at_the_port_is_not_taken_for_the_host,
            another_program_at_a_dead_hosts_port_is_left_alone,
        }
        log {
            the_decisions_are_logged,
        }
        silence {
            a_listener_that_loops_for_ever_is_known_to_its_senders_and_its_successor_ends_the_stall,
            a_stopped_host_stalls_its_senders_until_it_goes_on,
            a_suspension_of_both_sides_is_no_stall,
        }
        outside {
            a_host_whose_application_is_blocked_tells_how_it_is,
            an_application_scope_and_redelivered_messages_are_told,
            a_host_that_is_stopped_or_dead_is_known_by_its_number,
            a_host_that_does_not_know_the_question_or_lies_is_a_clear_error,
            processes_that_ask_nonsense_or_never_read_hurt_nobody,
            taps_that_lie_or_never_read_hurt_nobody,
        }
        lifetime {
            a_process_that_exits_while_connected_is_missed_at_once,
            a_write_to_a_process_that_is_gone_raises_no_signal,
            the_last_handle_dropped_hands_over,
        }
    };
    tests.extend(
        sentences! { rendezvous {
            another_user_gets_a_clear_error,
            an_allowed_user_joins,
        } locks {
            another_users_closed_lock_does_not_undo_an_election,
            under_a_strict_umask_an_allowed_user_takes_over,
        } outside {
            another_user_who_may_join_learns_nothing_of_the_others,
        } directories {
            a_process_that_gives_its_user_up_does_not_meet_others_elsewhere,
        } tcp {
            another_users_port_file_is_named,
            another_user_is_not_let_in_over_tcp,
        } }
        .into_iter()
        .map(|test| test.with_ignored_flag(!root)),
    );
    tests.extend(
        sentences! { rendezvous {
            with_no_inode_left_the_host_is_reachable_and_hosting_fails_clearly,
            with_no_block_left_another_takes_over,
        } directories {
            a_directory_that_is_mounted_over_and_unmounted_is_survived,
            processes_without_a_session_meet_those_that_have_one,
            a_runtime_directory_that_is_gone_after_a_logout_splits_nobody,
            a_host_that_goes_into_another_root_directory_stays_the_host,
        } tcp {
            processes_of_two_pid_namespaces_meet,
        } }
        .into_iter()
        .map(|test| test.with_ignored_flag(!namespaces)),
    );
    tests.extend(on_link! { "tcp":
        herd {
            thirty_two_processes_starting_at_once_find_one_host,
            a_herd_that_sends_before_anybody_hosts_loses_nothing,
        }
        failover {
            a_host_killed_again_and_again_under_traffic_loses_nothing,
            large_messages_survive_the_hosts_that_die_in_the_middle_of_them,
            replies_that_reached_the_peer_come_before_the_loss_of_the_host,
            what_was_acknowledged_is_never_delivered_again,
            what_was_taken_and_not_acknowledged_is_delivered_again_marked,
            what_a_process_holds_when_it_exits_comes_to_the_next_host,
            a_socket_that_does_not_reconnect_fails_with_its_host,
            peers_that_never_host_wait_for_the_next_host,
        }
        fencing {
            a_stopped_host_is_replaced_and_handles_nothing_more,
            peers_of_a_fenced_host_are_not_told_of_a_hand_over,
            a_host_stopped_in_the_middle_of_traffic_loses_nothing,
            a_short_stop_changes_nothing,
            a_stopped_peer_changes_nothing,
            a_host_whose_application_is_busy_is_not_fenced,
        }
        handover {
            an_orderly_close_under_traffic_loses_and_repeats_nothing,
            hosting_goes_round_by_orderly_closes,
            a_handler_that_does_not_finish_cannot_hold_up_the_hand_over,
            a_host_that_closes_delivers_nothing_more_from_the_call_on,
        }
        rendezvous {
            a_fork_that_outlives_the_host_does_not_hold_the_channel,
        }
        resume {
            broken_connections_resume_exactly_once,
        }
    });
    let groups = control_group::ControlGroup::of_memory(1 << 20).is_some();
    tests.extend(
        sentences! { ring {
            where_little_memory_is_left_rings_stay_small,
            many_rings_leave_a_small_group_its_memory,
        } }
        .into_iter()
        .map(|test| test.with_ignored_flag(!groups)),
    );
    let groups = control_group::ControlGroup::of_threads().is_some();
    tests.extend(
        sentences! { isolation { a_host_that_can_start_no_thread_puts_newcomers_off } }
            .into_iter()
            .map(|test| test.with_ignored_flag(!groups)),
    );
    tests.extend(
        sentences! { versions {
            a_newcomer_waits_for_the_host_to_leave,
            a_newcomer_that_waits_in_vain_names_both_versions,
            a_newcomer_does_not_take_over_from_those_that_it_cannot_serve,
            what_a_peer_sent_waits_for_a_host_of_its_version,
        } }
        .into_iter()
        .map(|test| test.with_ignored_flag(!versions::IS_OTHER)),
    );
    tests.extend(fork::scenes().map(|(name, scene)| sentence(name, scene)));
    tests.extend(lifetime::scenes().map(|(name, scene)| sentence(name, scene)));
    let tests = tests.into_iter().map(portable::leave_out).collect();
    libtest_mimic::run(&arguments, tests).exit();
}
