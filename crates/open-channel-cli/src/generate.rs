//! Man pages and completions, from the one definition of the arguments.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Command;
use clap_complete::Shell;

use crate::output;

#[derive(clap::Args)]
#[command(after_help = "\
    source <(open-channel completions bash)                               in ~/.bashrc
    open-channel completions zsh > \"${fpath[1]}/_open-channel\"
    open-channel completions fish > ~/.config/fish/completions/open-channel.fish
    open-channel completions powershell >> $PROFILE")]
pub(crate) struct Completions {
    /// The shell that completes
    shell: Shell,
}

#[derive(clap::Args)]
#[command(after_help = "\
    open-channel man | man -l -
    open-channel man --to /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Write a page for each command into this directory [default: print the first page]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

pub(crate) fn completions(args: Completions, mut program: Command) -> Result<()> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, name, &mut script);
    output::write(&script)
}

pub(crate) fn man(args: Man, program: Command) -> Result<()> {
    let program = program.disable_help_subcommand(true);
    match args.to {
        Some(dir) => clap_mangen::generate_to(program, &dir)
            .with_context(|| format!("could not write into {}", dir.display())),
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(program).render(&mut page)?;
            output::write(&page)
        }
    }
}
