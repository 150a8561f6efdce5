//! Groups of several real processes, killed for real. One executable serves for both: with
//! `OPEN_CHANNEL_GROUP_TEST_ACTOR` set it is one of those processes, else it runs the tests.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

mod actor;
mod calls;
mod locks;
mod map;
mod members;
mod queue;
mod say;
mod soak;
mod stage;
mod system;
mod topics;
mod traffic;

/// Limit of a whole test.
const WATCHDOG: Duration = Duration::from_secs(120);

/// Makes a test of each function: its module and its name, under a watchdog.
macro_rules! sentences {
    ($($module:ident { $($test:ident),* $(,)? })*) => {
        vec![$($(sentence(
            concat!(stringify!($module), "::", stringify!($test)), $module::$test)),*),*]
    };
}

fn sentence(name: &'static str, test: impl FnOnce(&mut stage::Stage) + Send + 'static) -> Trial {
    Trial::test(name, move || {
        stage::run(name, WATCHDOG + soak::duration(), test);
        Ok(())
    })
}

fn main() {
    if std::env::var_os(stage::ACTOR).is_some() {
        actor::main();
    }
    let mut arguments = Arguments::from_args();
    // Each test is many processes, which wait for each other most of the time.
    arguments.test_threads.get_or_insert(2);
    #[cfg_attr(not(unix), expect(unused_mut, reason = "there are no forks"))]
    let mut tests = sentences! {
        members {
            everybody_has_the_same_view_and_deaths_are_known_at_once,
            a_stopped_member_is_put_out_and_comes_back,
            a_stopped_host_is_replaced_and_comes_back,
            a_herd_joins_at_once,
            a_peer_that_talks_nonsense_hurts_nobody,
            events_and_views_end_with_the_group,
        }
        topics {
            publications_reach_all_and_survive_the_host,
            a_stuck_subscriber_holds_nobody_up_for_long,
            large_payloads_pass_and_survive_the_host,
        }
        calls {
            a_death_is_known_at_once,
            a_call_is_given_up_at_its_deadline_or_when_its_future_is_dropped,
            a_call_goes_on_when_the_host_dies,
            all_are_asked_and_the_dead_are_named,
            calls_run_once_while_hosts_die,
        }
        locks {
            a_lock_never_has_two_holders_while_hosts_and_holders_die,
            the_death_of_a_holder_frees_its_lock_at_once,
            a_stopped_holder_keeps_its_lock_until_it_lets_go,
            a_stolen_lock_is_known_to_be_lost,
            shared_locks_are_shared_and_keep_others_out,
            a_role_goes_on_to_the_next_one,
        }
        queue {
            jobs_are_done_while_hosts_and_workers_die,
            a_dead_worker_gives_its_job_to_the_next_one_marked,
            a_job_that_kills_its_workers_comes_back,
        }
        soak {
            everything_at_once,
        }
        map {
            increments_are_applied_once_while_hosts_die,
            what_was_acknowledged_is_there_after_the_host_died,
            a_value_expires_at_every_member,
            the_map_dies_with_its_last_member,
            a_newcomer_that_hosts_waits_for_what_others_have,
        }
    };
    #[cfg(unix)]
    tests.extend(sentences! { locks { a_forked_child_lets_no_lock_go } });
    libtest_mimic::run(&arguments, tests).exit();
}
