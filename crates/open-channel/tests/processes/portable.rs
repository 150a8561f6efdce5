//! Which tests run where the library has to do without what only Linux has.

use libtest_mimic::Trial;
use open_channel::LinkKind;

/// The library was built with `--cfg open_channel_portable`.
pub(crate) const IS_FORCED: bool = cfg!(open_channel_portable);

const RING: &str = "there are no rings between processes";
const SESSION: &str = "a user has one directory, in a session and outside";
const NAMESPACE: &str = "all processes are taken to have their numbers in one namespace";

/// Tests that ask for more, by the beginning of their names, with the reason.
const LEFT_OUT: &[(&str, &str)] = &[
    ("ring::", RING),
    ("hostile::a_bad_offer_is_declined_and_the_socket_carries_on", RING),
    ("hostile::a_peer_that", RING),
    ("hostile::a_host_that_breaks_the_rules_of_the_ring_gives_a_clear_error", RING),
    ("calls::messages_that_are_there_take_no_system_call", RING),
    ("directories::processes_without_a_session_meet_those_that_have_one", SESSION),
    ("directories::a_runtime_directory_that_is_gone_after_a_logout_splits_nobody", SESSION),
    ("directories::a_process_that_gives_its_user_up_does_not_meet_others_elsewhere", SESSION),
    ("tcp::processes_of_two_pid_namespaces_meet", NAMESPACE),
];

/// The links between two processes of one user: the setting that forces it, and its text.
pub(crate) const LINKS: &[(&str, &str)] = if IS_FORCED {
    &[("unix", "unix socket"), ("tcp", "loopback tcp")]
} else {
    &[("ring", "shared memory"), ("unix", "unix socket"), ("tcp", "loopback tcp")]
};

/// The link that two processes of one user choose.
pub(crate) const USUAL_LINK: LinkKind = if IS_FORCED { LinkKind::Unix } else { LinkKind::Ring };

/// Ignores what cannot be asked for here.
pub(crate) fn leave_out(test: Trial) -> Trial {
    let reason = LEFT_OUT.iter().find(|(name, _)| IS_FORCED && test.name().starts_with(name));
    let Some((_, reason)) = reason else { return test };
    println!("left out: {}: {reason}", test.name());
    test.with_ignored_flag(true)
}
