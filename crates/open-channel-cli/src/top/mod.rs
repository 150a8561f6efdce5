//! `open-channel top`: the same as `ls`, live.

mod keys;
mod model;
mod view;

use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use self::keys::Outcome;
use self::model::Model;
use crate::interrupt::{Interrupted, asked_to_stop};
use crate::options::Options;
use crate::output;
use crate::seconds::seconds;
use crate::survey::survey_with;

/// Sockets of the channel that is looked at; of the others, the sums are enough.
const SOCKETS: usize = 512;

#[derive(clap::Args)]
#[command(after_help = "\
Keys, as in htop: arrows, PgUp, PgDn, Home and End move; Enter shows the sockets of a channel, or \
the members of a group; \
Esc goes back; F4 or / filters by name; F6, < and > choose the column to sort by, I turns the \
order; Z stops and goes on; ? or F1 shows help; q or F10 ends.")]
pub(crate) struct Args {
    /// Time between two looks, in seconds
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    delay: Duration,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        bail!("`top` needs a terminal: without one, use `open-channel ls --json`");
    }
    let model = Model::new(output::is_colourful(&io::stdout()));
    let mut terminal = ratatui::try_init().context("could not set the terminal up")?;
    let shown = tokio::select! {
        shown = show(&mut terminal, model, args.delay, options) => shown,
        signal = asked_to_stop() => Err(signal.into()),
    };
    ratatui::try_restore().context("could not reset the terminal")?;
    shown
}

async fn show(
    terminal: &mut DefaultTerminal,
    mut model: Model,
    delay: Duration,
    options: &Options,
) -> Result<()> {
    let mut input = input();
    let mut ticks = tokio::time::interval(delay);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if !model.is_stopped() {
                    let opened = model.opened().map(str::to_owned);
                    let sockets = |label: &str| match &opened {
                        Some(opened) if opened == label => SOCKETS,
                        _ => 0,
                    };
                    model.take(survey_with(options.dir(), sockets).await?);
                }
            }
            event = input.recv() => match event {
                Some(Event::Key(key)) => match keys::press(&mut model, key) {
                    Outcome::GoOn => {}
                    Outcome::LookNow => ticks.reset_immediately(),
                    Outcome::End => return Ok(()),
                    // As a signal would do where the terminal sends one.
                    Outcome::Interrupt => return Err(Interrupted { status: 130 }.into()),
                },
                Some(_) => {}
                None => bail!("the terminal is gone"),
            },
        }
        terminal.draw(|frame| view::draw(&mut model, frame)).context("could not draw")?;
    }
}

/// A thread of its own reads the terminal, which can only be waited for by blocking.
fn input() -> mpsc::Receiver<Event> {
    let (events, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if events.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receiver
}
