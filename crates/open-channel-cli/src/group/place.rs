//! Which group a command is about.

use std::time::Duration;

use anyhow::{Context, Result};
use open_channel_group::Group;
use tokio::time::timeout;

use crate::interrupt::asked_to_stop;
use crate::options::Options;

/// Limit of the time that leaving takes.
const LEAVING: Duration = Duration::from_secs(5);

/// Names the group if nothing else does.
const DEFAULT: &str = "shell";
pub(super) const VARIABLE: &str = "OPEN_CHANNEL_GROUP";

#[derive(clap::Args)]
pub(crate) struct Place {
    /// The group whose members take part [default: $OPEN_CHANNEL_GROUP, else "shell"]
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
}

impl Place {
    pub(super) fn group(&self) -> String {
        let named = self.group.clone().or_else(|| std::env::var(VARIABLE).ok());
        named.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT.to_owned())
    }

    /// Does the work as a member of the group, and leaves in an orderly way however it ends.
    ///
    /// The work itself ends when the program is asked to stop.
    pub(super) async fn visit(
        &self,
        options: &Options,
        work: impl AsyncFnOnce(&Group) -> Result<()>,
    ) -> Result<()> {
        let name = self.group();
        let join = options.group(&name).join();
        let group = unless_asked(async {
            join.await.with_context(|| format!("could not join the group {name:?}"))
        })
        .await?;
        let outcome = work(&group).await;
        // What is under way has ended, or is given up with an error that is told already.
        let _ = timeout(LEAVING, group.close()).await;
        outcome
    }
}

/// Ends the work when the program is asked to stop.
pub(super) async fn unless_asked<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        signal = asked_to_stop() => Err(signal.into()),
        done = work => done,
    }
}
