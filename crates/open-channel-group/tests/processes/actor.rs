//! The other processes: driven by lines on stdin, answering with lines on stdout, each with the
//! time of the monotonic clock in front.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use open_channel_group::{CallOptions, Error, Event, Expect, Group};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::say::say;
use crate::stage::{ACTOR, DIRECTORY};
use crate::system;
use crate::traffic::{Stuck, calls, counts, locks, publish, pushes, read, text, work};

pub(crate) fn main() -> ! {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        say!("panicked {panic}");
        hook(panic);
    }));
    system::die_with_parent();
    let (sender, commands) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let _ = sender.send(line);
        }
        std::process::exit(3);
    });
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(obey(commands));
    std::process::exit(0);
}

#[derive(Default)]
struct Actor {
    group: Option<Group>,
    /// What goes on until it is stopped, with its word.
    tasks: BTreeMap<String, JoinHandle<()>>,
    stop: watch::Sender<bool>,
    stop_pushing: watch::Sender<bool>,
    /// What is held until it is dropped.
    held: BTreeMap<String, Box<dyn std::any::Any + Send>>,
    stuck: Arc<Stuck>,
}

async fn obey(mut commands: mpsc::UnboundedReceiver<String>) {
    let mut actor = Actor::default();
    say!("ready");
    while let Some(command) = commands.recv().await {
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            ["ping"] => say!("pong"),
            ["exit"] => std::process::exit(0),
            ["garbage", hex] => garbage(hex).await,
            ["join", ref settings @ ..] => actor.join(settings).await,
            ["host?"] => say!("host {}", actor.group().is_host()),
            ["view"] => {
                let view = actor.group().members().get();
                let ids: Vec<_> = view.members.iter().map(|one| one.id.to_string()).collect();
                say!("view {} {}", view.number, ids.join(","));
            }
            ["close"] => {
                let closed = actor.group().close().await;
                match closed {
                    Ok(()) => say!("closed in order"),
                    Err(error) => say!("closed with {error}"),
                }
            }
            ["stop"] => {
                actor.stop.send_replace(true);
                for (_, task) in std::mem::take(&mut actor.tasks) {
                    task.await.unwrap();
                }
                actor.stop.send_replace(false);
                say!("stopped");
            }
            ["stop-pushing"] => {
                actor.stop_pushing.send_replace(true);
                if let Some(task) = actor.tasks.remove("pushes") {
                    task.await.unwrap();
                }
                say!("stopped-pushing");
            }
            ["drop", name] => drop(actor.held.remove(name)),
            ["stick"] => actor.stuck.on.store(true, Ordering::SeqCst),
            ["loosen"] => {
                let mut held = actor.stuck.held.lock().unwrap();
                actor.stuck.on.store(false, Ordering::SeqCst);
                held.clear();
            }
            _ => actor.act(&words).await,
        }
    }
}

/// Says something to the switchboard that is no frame of a member.
async fn garbage(hex: &str) {
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|place| u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).unwrap())
        .collect();
    let channel = open_channel::Channel::builder("group\u{1f}test");
    let channel = channel.runtime_dir(std::env::var_os(DIRECTORY).unwrap()).build_peer().unwrap();
    let socket = channel.connect();
    socket.send(bytes).await.unwrap();
    let mut answers = 0;
    while let Ok(Some(message)) = socket.recv().await {
        message.ack();
        answers += 1;
    }
    say!("ended {answers}");
}

impl Actor {
    fn group(&self) -> Group {
        self.group.clone().unwrap()
    }

    async fn join(&mut self, settings: &[&str]) {
        let mut builder = Group::builder("test")
            .runtime_dir(std::env::var_os(DIRECTORY).unwrap())
            .connect_timeout(Duration::from_secs(30))
            .label("name", std::env::var(ACTOR).unwrap());
        for setting in settings.iter().filter(|setting| !setting.is_empty()) {
            let (name, value) = setting.split_once('=').unwrap();
            let number: u64 = value.parse().unwrap();
            let time = Duration::from_millis(number);
            builder = match name {
                "host" => builder.host_timeout(time),
                "stall" => builder.stall_timeout(time),
                "window" => builder.window(usize::try_from(number).unwrap()),
                other => panic!("no such setting: {other}"),
            };
        }
        match builder.join().await {
            Ok(group) => {
                let mut events = group.events();
                tokio::spawn(async move {
                    while let Some(event) = events.recv().await {
                        report(&event);
                    }
                    say!("event over");
                });
                say!("joined {}", group.id());
                self.group = Some(group);
            }
            Err(error) => say!("not-joined {error}"),
        }
    }

    /// Something that goes on until it is stopped.
    fn begin<F: Future<Output = ()> + Send + 'static>(&mut self, word: &str, task: F) {
        self.tasks.insert(word.into(), tokio::spawn(task));
    }

    async fn act(&mut self, words: &[&str]) {
        let (group, stop) = (self.group(), self.stop.subscribe());
        match *words {
            ["subscribe", pattern] => {
                let subscription = group.subscribe(pattern).await.unwrap();
                say!("subscribed {pattern}");
                tokio::spawn(read(subscription, Arc::clone(&self.stuck)));
            }
            ["latest", pattern] => {
                let subscription = group.subscribe_latest(pattern).await.unwrap();
                say!("subscribed {pattern}");
                tokio::spawn(read(subscription, Arc::clone(&self.stuck)));
            }
            ["publish", topic] => self.begin("publish", publish(group, topic.into(), stop)),
            ["serve", service] => {
                let served = group
                    .serve(service, |call| async move {
                        say!("serving {}", String::from_utf8_lossy(&call.payload));
                        Ok::<_, Error>([&b"re "[..], &call.payload].concat())
                    })
                    .await
                    .unwrap();
                self.held.insert(service.into(), Box::new(served));
                say!("served {service}");
            }
            ["serve-stuck", service] => {
                let served = group
                    .serve(service, |call| async move {
                        struct Aborted(String);
                        impl Drop for Aborted {
                            fn drop(&mut self) {
                                say!("aborted {}", self.0);
                            }
                        }
                        let text = String::from_utf8_lossy(&call.payload).into_owned();
                        say!("serving {text}");
                        let _aborted = Aborted(text);
                        std::future::pending::<Result<Vec<u8>, Error>>().await
                    })
                    .await
                    .unwrap();
                self.held.insert(service.into(), Box::new(served));
                say!("served {service}");
            }
            ["call", service, text, millis] => {
                let options =
                    CallOptions::default().within(Duration::from_millis(millis.parse().unwrap()));
                let (service, text) = (service.to_owned(), text.to_owned());
                self.begin(&format!("call {text}"), async move {
                    match group.call_with(&service, text.clone(), options).await {
                        Ok(answer) => say!("answer {text} {}", String::from_utf8_lossy(&answer)),
                        Err(error) => say!("no-answer {text} {error:?}"),
                    }
                });
            }
            ["begin-call", service, text] => {
                let (service, text) = (service.to_owned(), text.to_owned());
                // Aborted when it is dropped.
                let mut call = tokio::task::JoinSet::new();
                let payload = text.clone();
                call.spawn(async move { group.call(&service, payload).await });
                self.held.insert(text, Box::new(call));
            }
            ["call-all", service] => {
                let answers = group
                    .call_all(
                        service,
                        "all",
                        CallOptions::default().within(Duration::from_secs(20)),
                    )
                    .await
                    .unwrap();
                let (answered, died) = (answers.answered.len(), answers.died.len());
                say!("all {answered} {died} {}", answers.timed_out.len());
            }
            ["calls", service] => self.begin("calls", calls(group, service.into(), stop)),
            ["locks", name] => {
                self.begin("locks", locks(group, name.into(), stop));
            }
            ["lock", name] => {
                let guard = group.lock(name).await.unwrap();
                say!("held {name} {}", guard.token().number());
                self.held.insert(name.into(), Box::new(guard));
            }
            ["await-lock", name] => {
                let name = name.to_owned();
                self.begin("await-lock", async move {
                    let guard = group.lock(&name).await.unwrap();
                    say!("held {name} {}", guard.token().number());
                    guard.lost().await;
                    say!("lost {name}");
                });
            }
            ["publish-large", topic, len] => {
                let payload = vec![7; len.parse().unwrap()];
                group.publish(topic, payload).await.unwrap();
                say!("published-large {len}");
            }
            ["set-large", key, len] => {
                let value = vec![7; len.parse().unwrap()];
                group.map("m").unwrap().set(key, value).await.unwrap();
                say!("set-large {key} {len}");
            }
            ["length", key] => {
                let value = group.map("m").unwrap().get(key).unwrap();
                say!("length {key} {}", value.map_or(0, |value| value.len()));
            }
            ["lengths", pattern] => {
                let mut subscription = group.subscribe(pattern).await.unwrap();
                say!("subscribed {pattern}");
                tokio::spawn(async move {
                    while let Some(message) = subscription.recv().await {
                        assert!(message.iter().all(|byte| *byte == 7));
                        say!("got-large {}", message.len());
                    }
                });
            }
            #[cfg(unix)]
            ["fork"] => {
                // The child drops all that it has inherited.
                match system::fork() {
                    Some(child) => say!("forked {child}"),
                    None => {
                        self.held.clear();
                        self.group = None;
                        drop(group);
                        say!("child dropped it");
                        std::thread::sleep(Duration::from_secs(60));
                        std::process::exit(0);
                    }
                }
            }
            ["steal", name] => {
                let guard = group.steal(name).await.unwrap();
                say!("held {name} {}", guard.token().number());
                self.held.insert(name.into(), Box::new(guard));
            }
            ["try-lock", name] => {
                let guard = group.try_lock(name).await.unwrap();
                say!("tried {name} {}", guard.is_some());
                self.held.insert(name.into(), Box::new(guard));
            }
            ["lock-shared", name] => {
                let guard = group.lock_shared(name).await.unwrap();
                say!("held {name} {}", guard.token().number());
                self.held.insert(name.into(), Box::new(guard));
            }
            ["lead", name] => {
                let name = name.to_owned();
                self.begin("lead", async move {
                    let role = group.lead(&name).await.unwrap();
                    say!("leads {name} {}", role.token().number());
                    role.lost().await;
                    say!("led {name}");
                });
            }
            ["work", queue, capacity] => {
                let worker = group.queue(queue).unwrap().work(count(capacity)).await.unwrap();
                say!("works {queue}");
                self.begin(&format!("work {queue}"), work(worker, stop));
            }
            ["work-stuck", queue] => {
                let mut worker = group.queue(queue).unwrap().work(count("1")).await.unwrap();
                say!("works {queue}");
                tokio::spawn(async move {
                    while let Some(job) = worker.recv().await {
                        say!("stuck-run {} {}", job.attempt(), text(job.payload()));
                        std::mem::forget(job);
                    }
                });
            }
            ["push", queue, text, attempts] => {
                let queue = group.queue(queue).unwrap();
                let (text, attempts) =
                    (text.to_owned(), NonZeroU32::new(attempts.parse().unwrap()));
                self.begin(&format!("push {text}"), async move {
                    match queue.push_at_most(text.clone(), attempts).await {
                        Ok(()) => say!("done {text}"),
                        Err(error) => say!("not-done {text} {error:?}"),
                    }
                });
            }
            ["pushes", queue] => {
                let stop = self.stop_pushing.subscribe();
                self.begin("pushes", pushes(group, queue.into(), stop));
            }
            ["set", key, value] => {
                let revision = group.map("m").unwrap().set(key, value.to_owned()).await.unwrap();
                say!("set {key} {revision}");
            }
            ["set-for", key, value, millis] => {
                let ttl = Duration::from_millis(millis.parse().unwrap());
                let map = group.map("m").unwrap();
                let revision = map.set_for(key, value.to_owned(), ttl).await.unwrap();
                say!("set {key} {revision}");
            }
            ["cas", key, from, to] => {
                let expect = match from {
                    "-" => Expect::Absent,
                    value => Expect::Value { bytes: value.to_owned().into() },
                };
                let map = group.map("m").unwrap();
                let value = Some(to.to_owned().into());
                let done = map.compare_and_set(key, expect, value, None).await.unwrap();
                say!("cas {key} {done}");
            }
            ["get", key] => {
                let value = group.map("m").unwrap().get(key).unwrap();
                say!("value {key} {}", value.map_or("-".into(), |value| text(&value)));
            }
            ["watch", prefix] => {
                let mut changes = group.map("m").unwrap().watch(prefix);
                let map = group.map("m").unwrap();
                say!("watching {prefix}");
                tokio::spawn(async move {
                    while let Some(change) = changes.recv().await {
                        match change {
                            open_channel_group::Change::Key(key) => {
                                let value = map.get(&key).unwrap();
                                let value = value.map_or("-".into(), |value| text(&value));
                                say!("change {key} {value}");
                            }
                            other => say!("change {other:?}"),
                        }
                    }
                });
            }
            ["counts", key] => self.begin("counts", counts(group, key.into(), stop)),
            _ => panic!("no such command: {words:?}"),
        }
    }
}

fn report(event: &Event) {
    match event {
        Event::Serving { generation, .. } => say!("event serving {generation}"),
        Event::Joined { view, member, .. } => say!("event joined {view} {}", member.id),
        Event::Left { view, id, reason, .. } => say!("event left {view} {id} {reason:?}"),
        Event::PutOut { reason, .. } => say!("event put-out {reason:?}"),
        _ => {}
    }
}

fn count(text: &str) -> NonZeroU32 {
    NonZeroU32::new(text.parse().unwrap()).unwrap()
}
