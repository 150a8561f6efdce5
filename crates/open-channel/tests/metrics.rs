//! The metrics, as an exporter gets them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use open_channel::Channel;

/// Only against hanging.
const LIMIT: Duration = Duration::from_secs(60);

/// An exporter that remembers.
#[derive(Clone, Default)]
struct Memory {
    counters: Arc<Mutex<HashMap<Key, Arc<AtomicU64>>>>,
    gauges: Arc<Mutex<HashMap<Key, Arc<AtomicU64>>>>,
    described: Arc<Mutex<Vec<String>>>,
}

impl Memory {
    fn key(name: &str, channel: &str) -> Key {
        Key::from_parts(name.to_owned(), vec![metrics::Label::new("channel", channel.to_owned())])
    }

    fn counter(&self, name: &str, channel: &str) -> u64 {
        let counters = self.counters.lock().expect("no panic");
        counters.get(&Self::key(name, channel)).map_or(0, |number| number.load(Ordering::SeqCst))
    }

    fn gauge(&self, name: &str, channel: &str) -> f64 {
        let gauges = self.gauges.lock().expect("no panic");
        let number = gauges.get(&Self::key(name, channel));
        number.map_or(f64::NAN, |number| f64::from_bits(number.load(Ordering::SeqCst)))
    }
}

impl Recorder for Memory {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().expect("no panic").push(key.as_str().to_owned());
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().expect("no panic").push(key.as_str().to_owned());
    }

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = self.counters.lock().expect("no panic");
        Counter::from_arc(Arc::clone(counters.entry(key.clone()).or_default()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut gauges = self.gauges.lock().expect("no panic");
        Gauge::from_arc(Arc::clone(gauges.entry(key.clone()).or_default()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LIMIT, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_gets_what_the_statistics_say_and_counters_never_go_back() {
    let memory = Memory::default();
    metrics::set_global_recorder(memory.clone()).expect("the only one");
    let dir = tempfile::tempdir().expect("a directory");
    let channel = Channel::builder("orders").runtime_dir(dir.path().join("run"));
    let channel = channel.build(|socket| async move {
        while let Ok(Some(message)) = socket.recv().await {
            message.ack();
        }
    });
    let channel = channel.expect("a channel");
    let socket = channel.connect();
    for _ in 0..3 {
        socket.send("three").await.expect("accepted");
    }
    socket.flush().await.expect("handled");
    let counter = |name: &str| memory.counter(name, "orders");
    let gauge = |name: &str| memory.gauge(name, "orders");
    until("three messages", || counter("openchannel_messages_sent_total") == 3).await;
    until("their end", || counter("openchannel_messages_acknowledged_total") == 3).await;
    // Both ends are in this process.
    until("both ends", || gauge("openchannel_sockets") == 2.0).await;
    assert_eq!(counter("openchannel_messages_received_total"), 3);
    assert_eq!(counter("openchannel_sent_bytes_total"), 15);
    assert_eq!((gauge("openchannel_host"), gauge("openchannel_generation")), (1.0, 1.0));
    assert_eq!(
        (gauge("openchannel_stalled_sockets"), counter("openchannel_failovers_total")),
        (0.0, 0)
    );
    // What is gone still counts, and what comes is added.
    socket.close().await.expect("closed");
    drop(socket);
    until("no socket", || gauge("openchannel_sockets") == 0.0).await;
    assert_eq!(counter("openchannel_messages_sent_total"), 3);
    let socket = channel.connect();
    socket.send("four").await.expect("accepted");
    until("one more", || counter("openchannel_messages_sent_total") == 4).await;
    assert_eq!(counter("openchannel_sent_bytes_total"), 19);
    channel.close().await.expect("closed");
    drop((channel, socket));
    until("the end", || gauge("openchannel_host") == 0.0).await;
    assert_eq!(counter("openchannel_messages_sent_total"), 4);
    let described = memory.described.lock().expect("no panic");
    let counters = memory.counters.lock().expect("no panic");
    let gauges = memory.gauges.lock().expect("no panic");
    for key in counters.keys().chain(gauges.keys()) {
        assert!(described.iter().any(|name| name == key.name()), "{key} has no description");
    }
}
