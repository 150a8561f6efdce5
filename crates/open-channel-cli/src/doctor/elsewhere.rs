//! Other runtime directories that processes of this user meet in.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use open_channel::UserId;

use super::finding::{Finding, Level, shell};
use super::processes::{Process, owner_and_mode};
use crate::survey::{Surveyed, survey};

/// A directory with channels in it.
pub(super) struct Other {
    path: PathBuf,
    why: String,
    pub(super) channels: Vec<Surveyed>,
}

/// The channels of all other directories that are known.
pub(super) async fn survey_others(own: &Path, processes: &[Process]) -> Vec<Other> {
    let mut seen: HashSet<PathBuf> = HashSet::from([identity(own)]);
    let mut others = Vec::new();
    for (path, why) in candidates(processes) {
        if !path.is_dir() || !seen.insert(identity(&path)) {
            continue;
        }
        let mut channels = survey(Some(&path), 0).await.unwrap_or_default();
        channels.retain(Surveyed::is_alive);
        if !channels.is_empty() {
            others.push(Other { path, why, channels });
        }
    }
    others
}

/// The same for two paths to one directory. In another mount namespace, one path is two.
fn identity(path: &Path) -> PathBuf {
    #[cfg(unix)]
    if let Ok(metadata) = std::fs::metadata(path) {
        use std::os::unix::fs::MetadataExt;
        return format!("{}:{}", metadata.dev(), metadata.ino()).into();
    }
    path.to_owned()
}

fn candidates(processes: &[Process]) -> Vec<(PathBuf, String)> {
    let mut all: Vec<(PathBuf, String)> = processes.iter().flat_map(Process::directories).collect();
    all.extend(of_the_usual_users());
    let listening = "a process of this user listens there".to_owned();
    all.extend(listened_in().into_iter().map(|path| (path, listening.clone())));
    all
}

/// The directories of this user and, under sudo, of the user who called it.
fn of_the_usual_users() -> Vec<(PathBuf, String)> {
    let caller = std::env::var("SUDO_UID").ok();
    let caller = caller.map(|user| (user, "it is that of the user who called sudo"));
    let own = (UserId::current().to_string(), "it is one of this user's");
    let users = caller.into_iter().chain([own]);
    users
        .flat_map(|(user, why)| {
            [format!("/run/user/{user}/open-channel"), format!("/tmp/open-channel-{user}")]
                .map(|path| (path.into(), why.to_owned()))
        })
        .collect()
}

/// The roots of the channels whose hosts' sockets the kernel lists.
fn listened_in() -> Vec<PathBuf> {
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let user = UserId::current().to_string();
    let roots: HashSet<PathBuf> = sockets.lines().filter_map(root_of_socket).collect();
    let mut roots: Vec<PathBuf> = roots.into_iter().collect();
    roots.retain(|root| owner_and_mode(root).is_some_and(|(owner, _)| owner == user));
    roots.sort();
    roots
}

/// `<root>/<name>-<16 digits>/<16 digits>.sock`, as a host's socket is called.
fn root_of_socket(line: &str) -> Option<PathBuf> {
    let path = Path::new(&line[line.find('/')?..]);
    let is_hex = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let token = path.file_name()?.to_str()?.strip_suffix(".sock")?;
    let channel = path.parent()?;
    let (_, digest) = channel.file_name()?.to_str()?.rsplit_once('-')?;
    (is_hex(token) && is_hex(digest)).then(|| channel.parent().map(Path::to_owned))?
}

/// The channel of this name lives in another directory.
pub(super) fn split(name: &str, there: &Surveyed, other: &Other, is_here: bool) -> Finding {
    let also = if is_here { "also hosted" } else { "hosted" };
    let host = there.host();
    let Other { path, why, .. } = other;
    let what = format!(
        "{name:?} is {also} in another runtime directory, {}, by {host} ({why}): processes here \
         and there do not meet",
        path.display()
    );
    let remedy = if path.starts_with("/proc") {
        "give both one directory: OPEN_CHANNEL_DIR=<a path that both see> in both environments \
         (systemd: Environment=, and no PrivateTmp for a path in /tmp; containers: mount it)"
            .to_owned()
    } else {
        format!("export OPEN_CHANNEL_DIR={}", shell(&path.to_string_lossy()))
    };
    Finding::new(Level::Problem, "other-directory", what, remedy)
}

/// Other directories, where no particular channel is meant.
pub(super) fn note(others: &[Other]) -> Vec<Finding> {
    let one = |other: &Other| {
        let Other { path, why, channels } = other;
        let (number, path) = (channels.len(), path.display());
        let what = format!("{number} channels live in another runtime directory, {path} ({why})");
        let remedy = format!("open-channel ls --dir {}", shell(&path.to_string()));
        Finding::new(Level::Note, "other-directories", what, remedy)
    };
    others.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_socket_is_known_by_its_name() {
        let line = |path: &str| {
            root_of_socket(&format!("ffff: 00000002 00000000 00010000 0001 01 4711 {path}"))
        };
        let socket = "/run/user/0/open-channel/tea-room-0123456789abcdef/fedcba9876543210.sock";
        assert_eq!(line(socket), Some("/run/user/0/open-channel".into()));
        for other in ["/run/dbus/socket", "/tmp/x-0123456789abcdef/other.sock", "@abstract", ""] {
            assert_eq!(line(other), None, "{other}");
        }
    }
}
