//! `open-channel map`: state that all members of a group share.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use open_channel_group::{Change, Expect, Group, Map};
use serde_json::{Value, json};

use super::call::standard_input;
use super::command::Ended;
use super::place::{Place, unless_asked};
use crate::framing::{Framing, text_or_hex};
use crate::options::Options;
use crate::output;
use crate::seconds::seconds;

#[derive(clap::Args)]
#[command(after_help = "\
Every member of the group has the whole map in its memory. The map lives while one member does: \
a service, a subscriber, `map watch`, or a program in Rust or Node.

Exit status: 0; 1 without a line on standard error if `get` or `delete` found no such key, or \
`set --if-absent` found one.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Print the value of a key
    Get(Get),
    /// Set a key; it is done when every member has it
    Set(Set),
    /// Delete a key
    Delete(Delete),
    /// Add to a number, and print the sum
    Incr(Incr),
    /// Print the keys as they are, and then each change
    Watch(Watch),
    /// List keys and values
    Ls(Ls),
}

#[derive(clap::Args)]
struct Get {
    #[command(flatten)]
    place: Place,
    /// The map's name
    name: String,
    /// The key
    key: String,
    /// How the value is written
    #[arg(long, value_enum, value_name = "HOW", default_value = "lines")]
    framing: Framing,
}

#[derive(clap::Args)]
struct Set {
    #[command(flatten)]
    place: Place,
    /// The map's name
    name: String,
    /// The key
    key: String,
    /// The value [default: all of standard input]
    value: Option<String>,
    /// Delete the key so many seconds later
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    ttl: Option<Duration>,
    /// Only if there is no such key
    #[arg(long)]
    if_absent: bool,
}

#[derive(clap::Args)]
struct Delete {
    #[command(flatten)]
    place: Place,
    /// The map's name
    name: String,
    /// The key
    key: String,
}

#[derive(clap::Args)]
struct Incr {
    #[command(flatten)]
    place: Place,
    /// The map's name
    name: String,
    /// The key; an absent one is 0
    key: String,
    /// The number to add
    #[arg(default_value_t = 1, allow_negative_numbers = true)]
    by: i64,
    /// Delete the key so many seconds after the last addition
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    ttl: Option<Duration>,
}

#[derive(clap::Args)]
#[command(after_help = "\
A line has the key, a tab and the value; the key alone if it was deleted. With --json, a line is \
an object with `key`, and `value`, or `hex` if that is not UTF-8; neither for a deleted key. A key \
that changes again before its change was printed comes once.")]
struct Watch {
    #[command(flatten)]
    place: Place,
    /// The map's name
    name: String,
    /// Only keys that begin so
    #[arg(default_value = "")]
    prefix: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// End after so many lines [default: never]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

#[derive(clap::Args)]
#[command(after_help = "\
A line has the key, a tab and the value. With --json, a line is an object with `key`, `revision`, \
and `value`, or `hex` if that is not UTF-8.")]
struct Ls {
    #[command(flatten)]
    place: Place,
    /// The map's name
    name: String,
    /// Only keys that begin so
    #[arg(default_value = "")]
    prefix: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    match args.action {
        Action::Get(args) => {
            args.place.visit(options, async |group| get(&args, &map(group, &args.name)?)).await
        }
        Action::Set(args) => {
            let value = match &args.value {
                Some(value) => Bytes::from(value.clone()),
                None => unless_asked(standard_input()).await?,
            };
            let set = async |group: &Group| {
                let map = map(group, &args.name)?;
                unless_asked(set(&args, &map, value)).await
            };
            args.place.visit(options, set).await
        }
        Action::Delete(args) => {
            let delete = async |group: &Group| {
                let map = map(group, &args.name)?;
                found(unless_asked(async { Ok(map.delete(&args.key).await?) }).await?)
            };
            args.place.visit(options, delete).await
        }
        Action::Incr(args) => {
            let incr = async |group: &Group| {
                let map = map(group, &args.name)?;
                unless_asked(incr(&args, &map)).await
            };
            args.place.visit(options, incr).await
        }
        Action::Watch(args) => {
            let watch = async |group: &Group| unless_asked(watch(&args, group)).await;
            args.place.visit(options, watch).await
        }
        Action::Ls(args) => {
            args.place.visit(options, async |group| ls(&args, &map(group, &args.name)?)).await
        }
    }
}

fn map(group: &Group, name: &str) -> Result<Map> {
    group.map(name).with_context(|| format!("the map {name:?}"))
}

fn found(found: bool) -> Result<()> {
    if found { Ok(()) } else { Err(Ended { status: 1 }.into()) }
}

fn get(args: &Get, map: &Map) -> Result<()> {
    let Some(value) = map.get(&args.key)? else { return found(false) };
    output::write(&args.framing.encode(&value))
}

async fn set(args: &Set, map: &Map, value: Bytes) -> Result<()> {
    if args.if_absent {
        let value = Some(value);
        return found(map.compare_and_set(&args.key, Expect::Absent, value, args.ttl).await?);
    }
    map.set_for(&args.key, value, args.ttl).await?;
    Ok(())
}

async fn incr(args: &Incr, map: &Map) -> Result<()> {
    let sum = map.increment_for(&args.key, args.by, args.ttl).await;
    output::line(sum.with_context(|| format!("the key {:?}", args.key))?.to_string().as_bytes())
}

fn ls(args: &Ls, map: &Map) -> Result<()> {
    let entries = map.entries()?;
    for (key, entry) in entries.iter().filter(|(key, _)| key.starts_with(&args.prefix)) {
        if args.json {
            let mut object = object(key, Some(&entry.value));
            object["revision"] = entry.revision.into();
            output::line(object.to_string().as_bytes())?;
        } else {
            output::line(&pair(key, Some(&entry.value)))?;
        }
    }
    Ok(())
}

async fn watch(args: &Watch, group: &Group) -> Result<()> {
    let map = map(group, &args.name)?;
    let mut changes = map.watch(&args.prefix);
    tracing::info!(map = args.name, "watching");
    let mut printing = Printing { json: args.json, left: args.count };
    printing.all(&map, &args.prefix)?;
    while printing.left != Some(0) {
        let next = changes.recv().await;
        match next.ok_or_else(|| anyhow!("the group {:?} is over", group.name()))? {
            Change::Key(key) => printing.one(&key, map.get(&key)?.as_ref())?,
            Change::Missed(count) => {
                output::say(format_args!("{count} changes were missed; all keys again:"));
                printing.all(&map, &args.prefix)?;
            }
            _ => {}
        }
    }
    Ok(())
}

struct Printing {
    json: bool,
    /// Lines to be printed yet.
    left: Option<u64>,
}

impl Printing {
    fn all(&mut self, map: &Map, prefix: &str) -> Result<()> {
        for (key, entry) in map.entries()? {
            if key.starts_with(prefix) {
                self.one(&key, Some(&entry.value))?;
            }
        }
        Ok(())
    }

    fn one(&mut self, key: &str, value: Option<&Bytes>) -> Result<()> {
        if self.left == Some(0) {
            return Ok(());
        }
        self.left = self.left.map(|left| left - 1);
        let line =
            if self.json { object(key, value).to_string().into_bytes() } else { pair(key, value) };
        tokio::task::block_in_place(|| output::line(&line))
    }
}

fn pair(key: &str, value: Option<&Bytes>) -> Vec<u8> {
    match value {
        Some(value) => [key.as_bytes(), b"\t", value].concat(),
        None => key.as_bytes().to_vec(),
    }
}

fn object(key: &str, value: Option<&Bytes>) -> Value {
    let mut object = json!({ "key": key });
    if let Some(value) = value {
        let (name, text) = text_or_hex(value);
        object[if name == "hex" { name } else { "value" }] = text.into();
    }
    object
}
