//! The same for programs. Times are milliseconds, and what is not known is null.

use std::path::Path;
use std::time::Duration;

use open_channel::inspect::{Direction, HostStatus, ProcessStatus, SocketStatus, Traffic};
use open_channel_group::inspect::{GroupStatus, MemberStatus};
use serde_json::{Map, Value, json};

use crate::members::id;
use crate::survey::Surveyed;

pub(super) fn all(directory: &Path, listed: &[Surveyed]) -> Value {
    let channels: Vec<Value> = listed.iter().map(channel).collect();
    json!({ "directory": directory.to_string_lossy(), "channels": channels })
}

fn channel(surveyed: &Surveyed) -> Value {
    let found = &surveyed.found;
    let versions: Vec<Value> =
        found.versions().iter().map(|range| json!([range.start(), range.end()])).collect();
    let mut all = object(json!({
        "name": surveyed.answer.as_ref().map(|_| surveyed.name()).ok(),
        "kind": Some(surveyed.kind()).filter(|_| surveyed.answer.is_ok()),
        "label": found.label(),
        "directory": found.directory().to_string_lossy(),
        "state": surveyed.health().word(),
        "reason": surveyed.answer.as_ref().err().map(ToString::to_string),
        "pid": surveyed.pid(),
        "generation": surveyed.generation(),
        "leftovers": found.leftovers(),
        "protocol_versions": versions,
    }));
    if let Ok(status) = &surveyed.answer {
        all.extend(object(host(&status.host)));
        let sockets: Vec<Value> = status.sockets.iter().map(socket).collect();
        all.insert("sockets".into(), sockets.into());
    }
    all.insert("group".into(), surveyed.group.as_ref().map(group).into());
    all.insert("messages_per_second".into(), surveyed.rate.map(|rate| rate.messages).into());
    all.insert("bytes_per_second".into(), surveyed.rate.map(|rate| rate.bytes).into());
    all.into()
}

fn host(host: &HostStatus) -> Value {
    json!({
        "scope": if host.app.is_some() { "app" } else { "user" },
        "app": host.app,
        "host": process(&host.process),
        "library": host.library,
        "hosting": millis(Some(host.hosting)),
        "leaving": host.leaving,
        "stall_after": millis(Some(host.stall_after)),
        "socket_count": host.sockets,
        "max_sockets": host.max_sockets,
        "stalled": host.stalled,
        "totals": traffic(&host.totals),
    })
}

fn socket(socket: &SocketStatus) -> Value {
    json!({
        "id": socket.id.to_string(),
        "process": process(&socket.process),
        "link": Some(&socket.link).filter(|link| !link.is_empty()),
        "links": socket.links,
        "stalled": millis(socket.stalled),
        "traffic": traffic(&socket.traffic),
    })
}

fn process(process: &ProcessStatus) -> Value {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    json!({
        "pid": Some(process.pid).filter(|&pid| pid != 0),
        "program": text(&process.program),
        "user": text(&process.user),
    })
}

fn traffic(traffic: &Traffic) -> Value {
    json!({
        "sent": direction(&traffic.sent),
        "received": direction(&traffic.received),
        "held": traffic.held,
        "redelivered": traffic.redelivered,
        "highest_attempt": traffic.highest_attempt,
    })
}

fn direction(direction: &Direction) -> Value {
    json!({
        "messages": direction.messages,
        "finished": direction.finished,
        "open": direction.open,
        "bytes": direction.bytes,
        "open_bytes": direction.open_bytes,
        "limit": direction.limit,
        "oldest": millis(direction.oldest),
    })
}

fn group(group: &GroupStatus) -> Value {
    let queues = group.queues.iter().map(|queue| {
        json!({
            "name": queue.name.as_str(),
            "workers": queue.workers,
            "running": queue.running,
            "waiting": queue.waiting,
        })
    });
    let locks = group.locks.iter().map(|lock| {
        json!({
            "name": lock.name.name.as_str(),
            "kind": if lock.is_role() { "role" } else { "lock" },
            "holders": lock.holders.iter().map(|&holder| id(holder)).collect::<Vec<_>>(),
            "waiting": lock.waiting,
        })
    });
    let ((publications, publication_bytes), (keys, map_bytes)) = (group.publications, group.map);
    json!({
        "serving": group.serving,
        "member_count": group.member_count,
        "members": group.members.iter().map(member).collect::<Vec<_>>(),
        "queue_count": group.queue_count,
        "queues": queues.collect::<Vec<_>>(),
        "lock_count": group.lock_count,
        "locks": locks.collect::<Vec<_>>(),
        "publications": publications,
        "publication_bytes": publication_bytes,
        "map_keys": keys,
        "map_bytes": map_bytes,
    })
}

fn member(member: &MemberStatus) -> Value {
    let info = &member.view.info;
    let labels: Map<String, Value> =
        info.labels.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let services = member.view.services.iter().map(|service| service.as_str());
    let patterns = member.subscriptions.iter().map(|pattern| pattern.as_str());
    json!({
        "id": id(member.view.id),
        "pid": info.pid,
        "program": info.program,
        "language": info.language,
        "labels": labels,
        "services": services.collect::<Vec<_>>(),
        "subscription_count": member.subscription_count,
        "subscriptions": patterns.collect::<Vec<_>>(),
        "unhandled_bytes": member.unhandled,
        "locks_held": member.locks_held,
        "locks_waited_for": member.locks_waited_for,
        "workers": member.workers,
        "jobs_running": member.jobs_running,
        "jobs_waiting": member.jobs_waiting,
    })
}

fn millis(time: Option<Duration>) -> Option<u64> {
    time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
