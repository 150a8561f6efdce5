//! `open-channel record`: writes the messages that go by to a file.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::filter::Filter;
use super::follow::{Follow, Happened};
use super::recording::{Head, line, note, write_line};
use crate::interrupt::asked_to_stop;
use crate::options::Options;

#[derive(clap::Args)]
#[command(after_help = "\
Messages are seen as by `open-channel tap`, whole. The file has one line of JSON for each; \
docs/RECORDING.md describes it, and `open-channel replay` sends the messages again. Ctrl-C ends \
the recording, and the exit status is then 0. A file that exists is left alone.

    open-channel record tea-room room.jsonl")]
pub(crate) struct Args {
    #[command(flatten)]
    filter: Filter,

    /// The file, which is made
    file: PathBuf,

    /// End after so many messages [default: never]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    let begin = Follow::begin(&args.filter, usize::MAX, options);
    let follow = tokio::select! {
        biased;
        signal = asked_to_stop() => return Err(signal.into()),
        follow = begin => follow?,
    };
    let mut file = create(&args.file)?;
    tokio::select! {
        biased;
        // The usual end of a recording.
        _ = asked_to_stop() => Ok(()),
        done = write(&args, follow, &mut file) => done,
    }
}

fn create(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    // Whoever may not watch the messages may not read them here.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path);
    file.with_context(|| format!("could not make the file {}", path.display()))
}

async fn write(args: &Args, mut follow: Follow<'_>, file: &mut File) -> Result<()> {
    let could_not = || format!("could not write to {}", args.file.display());
    let head = Head { kind: follow.kind(), name: args.filter.name.clone() };
    write_line(file, &head.line()).with_context(could_not)?;
    let mut left = args.count;
    while left != Some(0) {
        let happened = follow.next().await?;
        let text = match &happened {
            Happened::Seen(seen) => {
                left = left.map(|left| left - 1);
                line(seen)
            }
            happened => match happened.words() {
                Some(words) => {
                    crate::output::say(&words);
                    note(&words)
                }
                None => return follow.ended(left),
            },
        };
        tokio::task::block_in_place(|| write_line(file, &text)).with_context(could_not)?;
    }
    Ok(())
}
