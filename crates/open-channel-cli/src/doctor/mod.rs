//! `open-channel doctor`: why two processes do not meet, and what will go wrong.
//!
//! Each file looks at one thing and returns findings. Nothing is changed, but for a channel of the
//! doctor's own that it hosts for a moment.

mod channels;
mod directory;
mod elsewhere;
mod finding;
mod limits;
mod processes;

use std::fmt;

use anyhow::Result;
use open_channel::inspect;
use serde_json::{Value, json};

use self::finding::{Finding, Level};
use crate::interrupt::asked_to_stop;
use crate::options::Options;
use crate::output;
use crate::survey::{Surveyed, survey};

/// Enough to name those that hang.
const SOCKETS: usize = 64;

#[derive(clap::Args)]
#[command(after_help = "\
Looks at the runtime directory of this environment and, with a real channel of its own, whether \
processes can meet there; at the other runtime directories that processes of this user use (read \
off their environments, their mounts and the sockets they listen on); at every channel's host; \
and at the limits of this process and of the hosts. With a NAME it says what concerns that \
channel first of all.

Exit status:
  0  nothing wrong; there may be notes
  1  a problem: processes do not meet, or messages do not get through
  2  the arguments were not understood
  3  a warning: something will go wrong, or is slower than it could be")]
pub(crate) struct Args {
    /// The channel on which processes should meet
    name: Option<String>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// The worst finding, as the end of the program; all was said.
#[derive(Debug)]
pub(crate) struct Unwell {
    pub(crate) status: u8,
}

impl fmt::Display for Unwell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not everything is well")
    }
}

impl std::error::Error for Unwell {}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    let mut findings = tokio::select! {
        findings = examine(args.name.as_deref(), options) => findings?,
        signal = asked_to_stop() => return Err(signal.into()),
    };
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let report = if args.json { json(&findings).to_string() + "\n" } else { text(&findings) };
    output::write(report.as_bytes())?;
    match findings.first().map_or(0, |worst| worst.level.status()) {
        0 => Ok(()),
        status => Err(Unwell { status }.into()),
    }
}

async fn examine(name: Option<&str>, options: &Options) -> Result<Vec<Finding>> {
    let mut findings = directory::environment();
    let root = match inspect::runtime_directory(options.dir()) {
        Ok(root) => root,
        Err(error) => {
            let remedy = "export OPEN_CHANNEL_DIR=/tmp/open-channel-$(id -u)";
            findings.push(Finding::new(Level::Problem, "directory", error.to_string(), remedy));
            return Ok(findings);
        }
    };
    findings.extend(directory::health(&root).await);
    let here = survey(Some(&root), SOCKETS).await.unwrap_or_default();
    let processes = processes::of_this_user();
    findings.extend(channels::all(&here, name, &processes));
    let elsewhere = elsewhere::survey_others(&root, &processes).await;
    match name {
        Some(name) => findings.extend(meeting(name, options, &here, &elsewhere)?),
        None => findings.extend(elsewhere::note(&elsewhere)),
    }
    findings.extend(limits::of_this_process());
    findings.extend(limits::of_hosts(&here));
    if findings.iter().all(|finding| finding.level == Level::Note) {
        let (channels, root) = (here.len(), root.display());
        let what = format!("processes can meet in {root}; {channels} channels are there");
        findings.push(Finding::new(Level::Note, "fine", what, "open-channel ls"));
    }
    Ok(findings)
}

/// Whether processes meet on the channel of this name.
fn meeting(
    name: &str,
    options: &Options,
    here: &[Surveyed],
    elsewhere: &[elsewhere::Other],
) -> Result<Vec<Finding>> {
    let channel = options.channel(name).build_peer()?;
    let mut findings = channels::scopes(name, channel.scope(), here);
    let lives = |surveyed: &&Surveyed| surveyed.may_be(name) && surveyed.is_alive();
    let is_here = here.iter().any(|surveyed| lives(&surveyed));
    for other in elsewhere {
        findings.extend(
            other
                .channels
                .iter()
                .filter(lives)
                .map(|surveyed| elsewhere::split(name, surveyed, other, is_here)),
        );
    }
    if findings.is_empty() && !is_here {
        findings.push(Finding::new(
            Level::Problem,
            "nobody",
            format!(
                "no process is on {name:?}, neither in {} nor in any other directory that \
                     processes of this user are known to use",
                channel.directory().display()
            ),
            format!("open-channel join {}", finding::shell(name)),
        ));
    }
    Ok(findings)
}

fn text(findings: &[Finding]) -> String {
    let style = output::Style::of_stdout();
    findings.iter().map(|finding| finding.text(style)).collect::<Vec<_>>().join("\n")
}

fn json(findings: &[Finding]) -> Value {
    let findings: Vec<Value> = findings.iter().map(Finding::json).collect();
    json!({ "findings": findings })
}
