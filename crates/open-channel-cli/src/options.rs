//! The options of every command: the place of the channel, and the amount of logging.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use open_channel::{Builder, Channel, Scope};
use open_channel_group::{Group, GroupBuilder};
use tracing_subscriber::filter::LevelFilter;

use crate::output;

/// Options that all commands share.
const HEADING: &str = "Global options";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Meet with the processes of this app scope [default: $OPEN_CHANNEL_APP and
    /// $OPEN_CHANNEL_SCOPE, else all programs of this user]
    #[arg(long, global = true, help_heading = HEADING, value_name = "NAME")]
    scope_app: Option<String>,

    /// The directory in which processes find each other [default: $OPEN_CHANNEL_DIR, else
    /// $XDG_RUNTIME_DIR/open-channel, else /run/user/<uid>/open-channel, else
    /// /tmp/open-channel-<uid>]
    #[arg(long, global = true, help_heading = HEADING, value_name = "PATH")]
    dir: Option<PathBuf>,

    /// Log the channel's decisions to standard error; twice for more, three times for all
    #[arg(short, long, global = true, help_heading = HEADING, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Options {
    /// A channel of this name at the place of these options.
    pub(crate) fn channel(&self, name: &str) -> Builder {
        let mut builder = Channel::builder(name);
        if let Some(app) = &self.scope_app {
            builder = builder.scope(Scope::App(app.clone()));
        }
        if let Some(dir) = &self.dir {
            builder = builder.runtime_dir(dir);
        }
        builder
    }

    /// The settings of a member of this group, at the place of these options.
    pub(crate) fn group(&self, name: &str) -> GroupBuilder {
        let mut builder = Group::builder(name);
        if let Some(app) = &self.scope_app {
            builder = builder.scope(Scope::App(app.clone()));
        }
        if let Some(dir) = &self.dir {
            builder = builder.runtime_dir(dir);
        }
        builder
    }

    /// The environment in which another process of this program comes to the same place.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let dir = self.dir.as_ref().map(|dir| std::path::absolute(dir).unwrap_or(dir.clone()));
        let app = self.scope_app.as_ref().map(OsString::from);
        let scope = app.as_ref().map(|_| "app".into());
        let variables = [
            ("OPEN_CHANNEL_DIR", dir.map(PathBuf::into_os_string)),
            ("OPEN_CHANNEL_APP", app),
            ("OPEN_CHANNEL_SCOPE", scope),
        ];
        variables.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The runtime directory, if one was named.
    pub(crate) fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// The application, if one was named.
    pub(crate) fn scope_app(&self) -> Option<&str> {
        self.scope_app.as_deref()
    }

    /// Silent by default: standard error has the one line about a failure.
    pub(crate) fn start_log(&self) {
        let level = match self.verbose {
            0 => return,
            1 => LevelFilter::INFO,
            2 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        };
        tracing_subscriber::fmt()
            .with_writer(io::stderr)
            .with_ansi(output::is_colourful(&io::stderr()))
            .log_internal_errors(false) // it would complain on standard error, and panic when it cannot
            .with_max_level(level)
            .init();
    }
}
