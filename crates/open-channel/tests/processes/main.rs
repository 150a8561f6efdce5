//! Tests with several real processes, killed for real. One executable: started with `OPEN_CHANNEL_TEST_ACTOR`
//! set it is one of those processes, otherwise it runs the tests.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use libtest_mimic::{Arguments, Trial};

mod actor;
mod failover;
mod fencing;
mod handover;
mod herd;
mod isolation;
mod ledger;
mod lifetime;
mod raw;
mod rendezvous;
mod resume;
mod stage;

/// Makes a test of each function: its module and its name, under a watchdog.
macro_rules! sentences {
    ($($module:ident { $($test:ident),* $(,)? })*) => {
        vec![$($(sentence(concat!(stringify!($module), "::", stringify!($test)), $module::$test)),*),*]
    };
}

fn sentence(name: &'static str, test: fn(&mut stage::Stage)) -> Trial {
    Trial::test(name, move || {
        stage::run(name, test);
        Ok(())
    })
}

fn main() {
    if std::env::var_os(actor::VARIABLE).is_some() {
        actor::main();
    }
    let mut arguments = Arguments::from_args();
    // Each test is many processes already.
    arguments.test_threads.get_or_insert(1);
    let root = rustix::process::geteuid().is_root();
    let namespaces = stage::may_unshare();
    let mut tests = sentences! {
        herd {
            thirty_two_processes_starting_at_once_find_one_host,
            a_herd_that_sends_before_anybody_hosts_loses_nothing,
        }
        failover {
            a_host_killed_again_and_again_under_traffic_loses_nothing,
            replies_that_reached_the_peer_come_before_the_loss_of_the_host,
            what_was_acknowledged_is_never_delivered_again,
            what_was_taken_and_not_acknowledged_is_delivered_again_marked,
            peers_that_never_host_wait_for_the_next_host,
        }
        fencing {
            a_stopped_host_is_replaced_and_handles_nothing_more,
            a_host_stopped_in_the_middle_of_traffic_loses_nothing,
            a_short_stop_changes_nothing,
            a_stopped_peer_changes_nothing,
            a_host_whose_application_is_busy_is_not_fenced,
        }
        handover {
            an_orderly_close_under_traffic_loses_and_repeats_nothing,
            hosting_goes_round_by_orderly_closes,
            a_handler_that_does_not_finish_cannot_hold_up_the_hand_over,
        }
        resume {
            broken_connections_resume_exactly_once,
        }
    };
    libtest_mimic::run(&arguments, tests).exit();
}
