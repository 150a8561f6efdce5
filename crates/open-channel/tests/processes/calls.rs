//! System calls of the channel: none for a message that is there, few while there is none.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use open_channel::blocking::{Channel, Socket};
use open_channel::{Channel as AsyncChannel, LinkKind};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::actor::report::say;
use crate::portable;
use crate::ring::link_of;
use crate::stage::{Actor, Stage};

const TRIPS: u64 = 1000;
/// Round trips with system calls: the driver may have to be called meanwhile, or hold the lock.
const MOST: u64 = 10;

/// The time for which an idle channel is watched.
const SILENCE: Duration = Duration::from_secs(3);
/// System calls per process and second of silence: both sides ping once a second.
const MOST_WAKE_UPS: u64 = 50;
/// A few ticks of the clock that it is counted in.
const MOST_CPU: Duration = Duration::from_millis(100);

pub(crate) fn messages_that_are_there_take_no_system_call(stage: &mut Stage) {
    let both = stage.actor("both sides");
    let calls = both.ask("count-calls", "calls").number(1);
    assert!(calls <= MOST, "system calls in {calls} of {TRIPS} round trips");
}

pub(crate) fn an_idle_channel_sleeps(stage: &mut Stage) {
    let mut everybody = Vec::new();
    for (setting, link) in portable::LINKS {
        let settings = format!("link={setting} dir={}", stage.path().join(setting).display());
        everybody.push(stage.joined(format!("host on {setting}"), &settings));
        let peer = stage.joined(format!("peer on {setting}"), &format!("role=peer {settings}"));
        assert_eq!(link_of(&peer), *link);
        everybody.push(peer);
    }
    let before: Vec<_> = everybody.iter().map(Spent::by).collect();
    std::thread::sleep(SILENCE);
    for (actor, before) in everybody.iter().zip(before) {
        let after = Spent::by(actor);
        let wake_ups = after.wake_ups.saturating_sub(before.wake_ups);
        assert!(
            wake_ups <= MOST_WAKE_UPS * SILENCE.as_secs(),
            "{}: {wake_ups} wake-ups",
            actor.label
        );
        let cpu = after.cpu - before.cpu;
        assert!(cpu <= MOST_CPU, "{}: {cpu:?} of processor time", actor.label);
    }
}

/// The processor time and the sleeps of all threads of a process.
struct Spent {
    /// The number of times that one of them went to sleep.
    wake_ups: u64,
    cpu: Duration,
}

impl Spent {
    fn by(actor: &Actor) -> Self {
        let mut wake_ups = 0;
        for task in std::fs::read_dir(actor.proc("task")).unwrap() {
            // A thread may end meanwhile.
            let status =
                std::fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
            let switches =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            wake_ups += switches.map_or(0, |count| count.trim().parse::<u64>().unwrap());
        }
        Self { wake_ups, cpu: actor.cpu() }
    }
}

/// Round trips of both sides of a channel on one thread: each message is there when it is received.
pub(crate) fn count_in_a_busy_pair() {
    let (sockets, accepted) = mpsc::channel();
    let builder = || AsyncChannel::builder("calls").link(LinkKind::Ring);
    let hosting = Channel::build(builder(), move |socket| sockets.send(socket).unwrap()).unwrap();
    hosting.join().unwrap();
    let joining = Channel::from(builder().build_peer().unwrap());
    let peer = joining.connect();
    peer.send_copy(b"hello").unwrap();
    let host = accepted.recv().unwrap();
    host.recv().unwrap().unwrap().ack();
    std::thread::spawn(move || {
        // The system calls for a thread's first message are not counted.
        round_trips(&peer, &host);
        trap();
        let with_calls = round_trips(&peer, &host);
        let before = TRAPPED.load(Ordering::Relaxed);
        let _ = rustix::process::getppid();
        assert_eq!(TRAPPED.load(Ordering::Relaxed), before + 1, "nothing is counted");
        WITH_CALLS.store(with_calls, Ordering::Release);
        leave();
    });
    // A trapped thread does not wake the calls that wait for it.
    while WITH_CALLS.load(Ordering::Acquire) == UNKNOWN {
        std::thread::sleep(Duration::from_millis(1));
    }
    say!("calls {}", WITH_CALLS.load(Ordering::Acquire));
}

/// Ends this thread without the libc's own steps, and without dropping its values: some of that
/// takes calls that are trapped.
fn leave() {
    // SAFETY: nobody waits for this thread, or has borrowed from its stack.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// The number of trapped system calls.
fn round_trips(peer: &Socket, host: &Socket) -> u64 {
    let mut with_calls = 0;
    for trip in 0..TRIPS {
        let before = TRAPPED.load(Ordering::Relaxed);
        for (from, to) in [(peer, host), (host, peer)] {
            from.send_copy(&trip.to_le_bytes()).unwrap();
            let message = to.recv().unwrap().unwrap();
            assert_eq!(*message, trip.to_le_bytes());
            message.ack();
        }
        with_calls += u64::from(TRAPPED.load(Ordering::Relaxed) > before);
    }
    with_calls
}

/// Counts the system calls of this closure. The process is of no use afterwards.
pub(crate) fn counted<T>(call: impl FnOnce() -> T) -> (T, u64) {
    trap();
    let _ = rustix::process::getppid();
    let before = TRAPPED.load(Ordering::Relaxed);
    let result = call();
    // The trap has to work: otherwise nothing is counted.
    (result, (TRAPPED.load(Ordering::Relaxed) - before) + u64::from(before == 0))
}

static TRAPPED: AtomicU64 = AtomicU64::new(0);
const UNKNOWN: u64 = u64::MAX;
static WITH_CALLS: AtomicU64 = AtomicU64::new(UNKNOWN);

/// From now on this thread's system calls are counted and not made. Those for memory and for the
/// end of the process are made. A wake-up from here never arrives, so the process is of no use
/// afterwards.
fn trap() {
    extern "C" fn count(_: libc::c_int) {
        TRAPPED.fetch_add(1, Ordering::Relaxed);
    }
    let action = SigAction::new(SigHandler::Handler(count), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing but add to a number.
    unsafe { sigaction(Signal::SIGSYS, &action) }.unwrap();
    let memory =
        [libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_mprotect, libc::SYS_madvise];
    let others = [
        libc::SYS_brk,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigprocmask,
        libc::SYS_sigaltstack,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let allowed: BTreeMap<_, _> =
        memory.into_iter().chain(others).map(|call| (call, vec![])).collect();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter =
        SeccompFilter::new(allowed, SeccompAction::Trap, SeccompAction::Allow, arch).unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}
