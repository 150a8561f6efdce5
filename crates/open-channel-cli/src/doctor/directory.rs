//! The runtime directory of this environment: which it is, and whether processes can meet there.

use std::path::Path;
use std::time::Duration;

use open_channel::{Builder, Channel, Error, Scope, UserId};

use super::finding::{Finding, Level, shell};
use super::processes::owner_and_mode;

/// Far longer than becoming a host takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Variables of the environment that are not followed, or not as they were meant.
pub(super) fn environment() -> Vec<Finding> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let user = UserId::current().to_string();
    let mut findings = Vec::new();
    if let Some(session) = set("XDG_RUNTIME_DIR")
        && set("OPEN_CHANNEL_DIR").is_none()
    {
        let path = Path::new(&session);
        let problem = match owner_and_mode(path) {
            _ if !path.is_absolute() => Some("is no absolute path".to_owned()),
            None => Some("does not exist".to_owned()),
            Some((owner, _)) if owner != user => Some(format!("belongs to user {owner}")),
            Some(_) if !path.is_dir() => Some("is no directory".to_owned()),
            Some(_) => None,
        };
        findings.extend(problem.map(|problem| {
            Finding::new(
                Level::Warning,
                "session-directory",
                format!(
                    "XDG_RUNTIME_DIR={} {problem}, so it is not used: this process does not meet \
                     those of that session",
                    path.display()
                ),
                format!("export XDG_RUNTIME_DIR=/run/user/{user}"),
            )
        }));
    }
    if let Ok(caller) = std::env::var("SUDO_UID")
        && caller != user
    {
        findings.push(Finding::new(
            Level::Warning,
            "sudo",
            format!(
                "this process is user {user}, and user {caller} called it by sudo: processes of \
                 two users do not meet"
            ),
            format!("sudo -u '#{caller}' open-channel doctor"),
        ));
    }
    findings
}

/// Whether a process can host in this directory, found out by hosting there for a moment.
pub(super) async fn health(root: &Path) -> Vec<Finding> {
    let problem =
        |what: String| vec![Finding::new(Level::Problem, "directory", what, remedy(root))];
    if let Err(error @ Error::Directory { .. }) = enter(root).await {
        return problem(error.to_string());
    }
    match trial_in_or_beside(root) {
        Err(what) => problem(what),
        Ok(trial) => match host_in(&trial.path().join("trial")).await {
            Ok(()) => Vec::new(),
            Err(error) => problem(error.to_string()),
        },
    }
}

/// As a process that only joins, which makes nothing there.
async fn enter(root: &Path) -> Result<(), Error> {
    own_channel(root).connect_timeout(Duration::from_millis(1)).build_peer()?.join().await.map(drop)
}

/// A directory to host in, apart from the channels, and on the same file system: in the root or, if
/// there is none yet, where it would be.
fn trial_in_or_beside(root: &Path) -> Result<tempfile::TempDir, String> {
    let existing = root.ancestors().find(|path| path.exists()).unwrap_or(root);
    let made = tempfile::Builder::new().prefix(".open-channel-doctor-").tempdir_in(existing);
    made.map_err(|error| {
        format!(
            "nothing can be made in the runtime directory {}: {error} (in {})",
            root.display(),
            existing.display()
        )
    })
}

/// On a channel that nobody else has.
async fn host_in(root: &Path) -> Result<(), Error> {
    let channel = own_channel(root).connect_timeout(PATIENCE).build(|_| async {})?;
    channel.join().await?;
    channel.close().await
}

fn own_channel(root: &Path) -> Builder {
    let name = format!("open-channel doctor {}", std::process::id());
    Channel::builder(name).scope(Scope::App("open-channel doctor".into())).runtime_dir(root)
}

fn remedy(root: &Path) -> String {
    let path = shell(&root.to_string_lossy());
    let user = UserId::current().to_string();
    match owner_and_mode(root) {
        _ if root.is_symlink() => format!("rm {path} && mkdir -m 700 {path}"),
        Some((owner, _)) if owner != user => format!("export OPEN_CHANNEL_DIR={}", way_out()),
        // It may be /tmp.
        Some(_) if root.is_dir() && has_other_things(root) => {
            format!("export OPEN_CHANNEL_DIR={}", way_out())
        }
        Some((_, mode)) if root.is_dir() && mode & 0o077 != 0 => format!("chmod 700 {path}"),
        Some((_, mode)) if root.is_dir() && mode & 0o700 != 0o700 => format!("chmod 700 {path}"),
        Some(_) if !root.is_dir() => format!("rm {path}"),
        _ => format!("export OPEN_CHANNEL_DIR={}", way_out()),
    }
}

fn has_other_things(root: &Path) -> bool {
    let is_ours = |name: &str| {
        let digest = name.rsplit_once('-').map_or("", |(_, digest)| digest);
        name == "generations" || digest.len() == 16 && digest.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let entries = std::fs::read_dir(root).into_iter().flatten().filter_map(Result::ok);
    entries.into_iter().any(|entry| !entry.file_name().to_str().is_some_and(is_ours))
}

/// A directory that works nearly everywhere; the same for all processes of a user.
fn way_out() -> String {
    format!("/tmp/open-channel-{}-own", UserId::current())
}
