//! One process of a measurement.

use crate::control::{self, say};
use crate::job::{Job, Line};
use crate::{clock, subjects};
use anyhow::Result;

/// The child's main function.
pub(crate) fn main(job: &str) -> Result<()> {
    let job: Job = serde_json::from_str(job)?;
    if let Some(core) = job.core {
        clock::pin(core)?;
    }
    control::watch();
    subjects::work(&job).inspect_err(|error| say(&Line::Failed { why: format!("{error:#}") }))
}
