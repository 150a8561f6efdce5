//! The channels of this directory: hosts that do not answer, handlers that hang, versions, scopes.

use std::ops::RangeInclusive;

use open_channel::Scope;
use open_channel::inspect::{Presence, SocketStatus, Status, Why};

use super::finding::{Finding, Level, shell};
use super::processes::{self, Process};
use crate::quantity;
use crate::survey::{Health, Surveyed};

/// All that is wrong with these channels or, with a name, with the one.
pub(super) fn all(here: &[Surveyed], name: Option<&str>, processes: &[Process]) -> Vec<Finding> {
    let meant = |surveyed: &&Surveyed| name.is_none_or(|name| surveyed.may_be(name));
    here.iter().filter(meant).flat_map(|surveyed| one(surveyed, processes)).collect()
}

fn one(surveyed: &Surveyed, processes: &[Process]) -> Vec<Finding> {
    let name = surveyed.name();
    let directory = surveyed.found.directory().display();
    let remove = format!("rm -r {}", shell(&directory.to_string()));
    let problem =
        |code, what: String, remedy: &str| Finding::new(Level::Problem, code, what, remedy);
    let mut findings = Vec::new();
    findings.extend(versions(surveyed));
    match (surveyed.health(), &surveyed.answer) {
        (Health::Silent, Err(unanswered)) => findings.push(silent(surveyed, &unanswered.why)),
        (Health::Refusing, Err(unanswered)) => {
            let host = surveyed.host();
            findings.push(match &unanswered.why {
                Why::NotKnown(_) => Finding::new(
                    Level::Note,
                    "older-library",
                    format!("the host of {name:?}, {host}, has a library that cannot tell more"),
                    "npm update open-channel, or cargo update -p open-channel, for its program",
                ),
                Why::Refused(why) if why.contains("ulimit -n") => {
                    let remedy =
                        format!("prlimit --pid {} --nofile=65536", unanswered.pid.unwrap_or(0));
                    problem("descriptors", format!("{name:?}, hosted by {host}: {why}"), &remedy)
                }
                why => problem(
                    "refused",
                    format!("{name:?}, hosted by {host}: {why}"),
                    "raise max_connections (Node: maxConnections) there, or close sockets",
                ),
            });
        }
        (Health::HostMissing, _) => findings.push(problem(
            "no-host",
            format!("processes are on {name:?} (in {directory}), and none of them may host it"),
            &format!("open-channel join {}, or any program with a listener", shell(&name)),
        )),
        (Health::Unreadable, _) => {
            let why = match surveyed.found.presence() {
                Presence::Unknown(why) => why,
                _ => "it cannot be read".into(),
            };
            findings.push(problem("unreadable", why, &remove));
        }
        (Health::Stale, _) => findings.push(Finding::new(
            Level::Note,
            "stale",
            format!(
                "{} files of dead processes lie in {directory}, in nobody's way: the next process \
                 on that channel removes them",
                surveyed.found.leftovers()
            ),
            remove,
        )),
        (_, Ok(status)) => findings.extend(answered(&name, status, processes)),
        _ => {}
    }
    findings
}

fn silent(surveyed: &Surveyed, why: &Why) -> Finding {
    let (name, host) = (surveyed.name(), surveyed.host());
    let Some(pid) = surveyed.pid() else {
        let what = format!("the host of {name:?} does not answer: {why}");
        return Finding::new(Level::Problem, "silent", what, "open-channel ls");
    };
    if processes::state(pid) == Some('T') {
        let what = format!("the host of {name:?}, {host}, is stopped (SIGSTOP, or Ctrl-Z)");
        return Finding::new(Level::Problem, "stopped", what, format!("kill -CONT {pid}"));
    }
    let what = format!(
        "the host of {name:?}, {host}, does not answer: {why}; as soon as another process is on \
         the channel, that takes over"
    );
    Finding::new(Level::Problem, "silent", what, format!("kill {pid}"))
}

fn answered(name: &str, status: &Status, processes: &[Process]) -> Vec<Finding> {
    let host = &status.host;
    let mut findings: Vec<Finding> = status
        .sockets
        .iter()
        .filter(|socket| hangs(socket, status))
        .map(|socket| hanging(name, status, socket))
        .collect();
    if host.sockets.saturating_mul(10) >= host.max_sockets.saturating_mul(9) {
        findings.push(Finding::new(
            Level::Warning,
            "nearly-full",
            format!("{name:?} has {} of at most {} sockets", host.sockets, host.max_sockets),
            "raise max_connections (Node: maxConnections), or close sockets",
        ));
    }
    let other_mounts = |pid| processes.iter().any(|it| it.pid == pid && it.has_other_mounts);
    if other_mounts(host.process.pid) {
        findings.push(Finding::new(
            Level::Note,
            "container",
            format!(
                "the host of {name:?}, {} (pid {}), has file systems of its own (a container, or \
                 PrivateTmp), and still shares this directory",
                host.process.program, host.process.pid
            ),
            "nothing to do",
        ));
    }
    findings
}

/// Messages that arrived have not been handled for so long that it counts as a stall, or answers
/// were not taken.
fn hangs(socket: &SocketStatus, status: &Status) -> bool {
    let waited = socket.traffic.received.oldest.is_some_and(|age| age >= status.host.stall_after);
    waited || socket.stalled.is_some()
}

fn hanging(name: &str, status: &Status, socket: &SocketStatus) -> Finding {
    let received = &socket.traffic.received;
    let other = format!("{} (pid {})", socket.process.program, socket.process.pid);
    if let Some(stalled) = socket.stalled {
        let what = format!(
            "{other} on {name:?} has acknowledged nothing of what the host sent to it for {}",
            quantity::time(stalled)
        );
        let remedy = format!("kill {}", socket.process.pid);
        return Finding::new(Level::Problem, "stalled-peer", what, remedy);
    }
    let host = &status.host.process;
    let what = format!(
        "a handler of {name:?} hangs in {} (pid {}): a message of {other} has waited for {}, {} \
         messages wait, and the handler holds {}",
        host.program,
        host.pid,
        received.oldest.map_or_else(String::new, quantity::time),
        received.open,
        socket.traffic.held,
    );
    // The next host gets the message, marked.
    Finding::new(Level::Problem, "stalled-handler", what, format!("kill {}", host.pid))
}

/// Processes that cannot talk to each other share the channel's directory.
fn versions(surveyed: &Surveyed) -> Option<Finding> {
    let present = surveyed.found.versions();
    let meet = |a: &RangeInclusive<u16>, b: &RangeInclusive<u16>| {
        a.start().max(b.start()) <= a.end().min(b.end())
    };
    let strangers = present.iter().enumerate().find_map(|(place, a)| {
        present[place + 1..].iter().find(|b| !meet(a, b)).map(|b| (a.clone(), b.clone()))
    });
    let (a, b) = strangers?;
    let what = format!(
        "processes on {:?} speak protocol versions {} to {} and {} to {}, which do not meet: they \
         take turns",
        surveyed.name(),
        a.start(),
        a.end(),
        b.start(),
        b.end()
    );
    let remedy = "npm update open-channel, or cargo update -p open-channel, for the older program";
    Some(Finding::new(Level::Problem, "versions", what, remedy))
}

/// The name exists in scopes that do not meet.
pub(super) fn scopes(name: &str, own: &Scope, here: &[Surveyed]) -> Vec<Finding> {
    let scope = |app: Option<&str>| match app {
        None => Scope::User,
        Some(app) => Scope::App(app.to_owned()),
    };
    let others = here.iter().filter_map(|surveyed| {
        let status = surveyed.answer.as_ref().ok()?;
        let theirs = scope(status.host.app.as_deref());
        (status.host.name == name && theirs != *own).then_some((surveyed, theirs))
    });
    others
        .map(|(surveyed, theirs)| {
            let what = format!(
                "{name:?} is hosted for {} by {}; this environment means the one for {}: processes \
                 of two scopes do not meet",
                words(&theirs),
                surveyed.host(),
                words(own)
            );
            let remedy = match &theirs {
                Scope::App(app) => format!("export OPEN_CHANNEL_APP={}", shell(app)),
                _ => "export OPEN_CHANNEL_SCOPE=user".to_owned(),
            };
            Finding::new(Level::Problem, "other-scope", what, remedy)
        })
        .collect()
}

fn words(scope: &Scope) -> String {
    match scope {
        Scope::App(app) => format!("the application {app:?}"),
        _ => "all programs of the user".into(),
    }
}
