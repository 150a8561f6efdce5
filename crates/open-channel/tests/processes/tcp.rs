//! Strangers at a host's port, and whatever stands in the place of its port file.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hmac::{Hmac, Mac};
use rustix::process::{Resource, getrlimit, setrlimit};
use sha2::Sha256;

use crate::actor::variables::USER;
use crate::failover::{connected, traffic_flows};
use crate::isolation::{SLACK, busy_pair, check_unharmed};
use crate::links::link_of;
use crate::raw::{self, Hello};
use crate::rendezvous::{NOBODY, gets_through, set_mode};
use crate::stage::{Actor, Stage};

const CHALLENGE: usize = 40;
const ANSWER: usize = 76;
const PROOF: usize = 44;
const NONCE: usize = 32;

/// The content of a port file.
struct Port {
    file: PathBuf,
    socket: SocketAddr,
    secret: Vec<u8>,
}

impl Port {
    fn of_the_host(stage: &Stage) -> Self {
        let file = stage.published().1.with_extension("tcp");
        let text = fs::read_to_string(&file).unwrap();
        let [heading, socket, process, digits, ""] = text.split('\n').collect::<Vec<_>>()[..]
        else {
            panic!("{text:?}")
        };
        assert_eq!(heading, "open-channel tcp 1");
        assert!(process.split(' ').all(|number| number.parse::<u64>().is_ok()), "{process}");
        let secret = (0..32).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap());
        Self { secret: secret.collect(), socket: socket.parse().unwrap(), file }
    }

    /// Names another port in the file; returns what was there.
    fn replace(&self, other: SocketAddr) -> String {
        let good = fs::read_to_string(&self.file).unwrap();
        fs::write(&self.file, good.replace(&self.socket.to_string(), &other.to_string())).unwrap();
        good
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn proof(&self, of_peer: &[u8], of_host: &[u8]) -> Vec<u8> {
        let identity = [0; 12];
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).unwrap();
        mac.update(b"open-channel peer");
        mac.update(of_peer);
        mac.update(of_host);
        mac.update(&identity);
        [&identity[..], &mac.finalize().into_bytes()].concat()
    }

    /// As docs/PROTOCOL.md has it. Returns the host's answer and the proof, too.
    fn prove(&self) -> (TcpStream, Vec<u8>, Vec<u8>) {
        let mut stream = self.connect();
        let nonce = [0x5a; NONCE];
        let answer = challenge(&mut stream, &nonce);
        let proof = self.proof(&nonce, &answer[..NONCE]);
        stream.write_all(&proof).unwrap();
        (stream, answer, proof)
    }
}

/// The host's answer to a challenge with this nonce.
fn challenge(stream: &mut TcpStream, nonce: &[u8]) -> Vec<u8> {
    let challenge = [b"ochtcp\0\x01", nonce].concat();
    assert_eq!(challenge.len(), CHALLENGE);
    stream.write_all(&challenge).unwrap();
    let mut answer = vec![0; ANSWER];
    stream.read_exact(&mut answer).unwrap();
    answer
}

/// What still comes until the other side closes.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        // It did not read everything.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection was not closed: {error}"),
    }
    bytes
}

pub(crate) fn a_peer_by_the_letter_of_the_protocol_is_welcomed(stage: &mut Stage) {
    let host = stage.joined("host", "link=tcp");
    let port = Port::of_the_host(stage);
    let (mut stream, _, _) = port.prove();
    stream.write_all(&Hello::default().encode()).unwrap();
    let mut header = [0; 8];
    stream.read_exact(&mut header).unwrap();
    assert_eq!(header[4], raw::WELCOME);
    host.wait("accepted");
}

pub(crate) fn nothing_listens_beyond_this_machine(stage: &mut Stage) {
    let host = stage.joined("host", "link=tcp");
    let port = Port::of_the_host(stage);
    let file = fs::metadata(&port.file).unwrap();
    assert_eq!(file.mode() & 0o7777, 0o600);
    let links = fs::read_dir(host.proc("fd")).unwrap();
    let own: Vec<_> = links.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok()).collect();
    let mut listening = Vec::new();
    for table in ["net/tcp", "net/tcp6"] {
        let Ok(table) = fs::read_to_string(host.proc(table)) else { continue };
        for line in table.lines().skip(1) {
            let fields: Vec<_> = line.split_whitespace().collect();
            let socket = PathBuf::from(format!("socket:[{}]", fields[9]));
            const LISTEN: &str = "0A";
            if fields[3] == LISTEN && own.contains(&socket) {
                listening.push(fields[1].to_owned());
            }
        }
    }
    assert_eq!(listening, [format!("0100007F:{:04X}", port.socket.port())]);
    assert!(!stage.published().1.exists(), "there is a socket, too");
}

pub(crate) fn strangers_at_the_port_are_turned_away(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "link=tcp");
    let port = Port::of_the_host(stage);
    let before = host.memory("VmHWM");
    let hello = Hello::default().encode();
    for (what, bytes) in [
        ("a hello", hello.clone()),
        ("zeros", vec![0; 4096]),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost:40123\r\n\r\n".to_vec()),
    ] {
        let mut stream = port.connect();
        let _ = stream.write_all(&bytes);
        assert_eq!(rest(stream), [], "{what} was answered");
    }
    let (stream, answer, proof) = port.prove();
    drop(stream);
    let stranger = Port { secret: vec![7; 32], file: port.file.clone(), socket: port.socket };
    let (same, other) = ([0x5a; NONCE], [0xa5; NONCE]);
    let attempts = [
        ("another secret", other),
        ("no secret", other),
        ("the host's own proof", other),
        ("the host's own proof for another process", other),
        ("a proof that was good once", same),
        ("an answer that was good once", same),
    ];
    for (what, nonce) in attempts {
        let mut stream = port.connect();
        let heard = challenge(&mut stream, &nonce);
        let forged = match what {
            "another secret" => stranger.proof(&other, &heard[..NONCE]),
            "no secret" => vec![0; PROOF],
            "the host's own proof" => heard[NONCE..].to_vec(),
            "a proof that was good once" => proof.clone(),
            "an answer that was good once" => answer[NONCE..].to_vec(),
            _ => [&[0; 12], &heard[NONCE + 12..]].concat(),
        };
        let _ = stream.write_all(&forged);
        let _ = stream.write_all(&hello);
        assert_eq!(rest(stream), [], "{what} was answered");
    }
    // What one connection is told is no proof on another, with the nonces exchanged.
    let (mut one, mut two) = (port.connect(), port.connect());
    let first = challenge(&mut one, &other);
    let second = challenge(&mut two, &first[..NONCE]);
    let _ = one.write_all(&second[NONCE..]);
    assert_eq!(rest(one), [], "a reflected challenge was answered");
    check_unharmed(&host, &bystander);
    let grown = host.memory("VmHWM") - before;
    assert!(grown < SLACK, "the host grew by {} KiB", grown / 1024);
    let made = host.lines().iter().filter(|line| line.is("accepted")).count();
    assert_eq!(made, 1, "a stranger got a socket");
}

pub(crate) fn half_a_handshake_holds_nobody_up(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "link=tcp");
    let port = Port::of_the_host(stage);
    let mut lingering = Vec::new();
    for sent in [0, 1, 8, CHALLENGE - 1, CHALLENGE, CHALLENGE + 1, CHALLENGE + PROOF - 1] {
        let mut stream = port.connect();
        let bytes = [&b"ochtcp\0\x01"[..], &[0; 200]].concat();
        stream.write_all(&bytes[..sent]).unwrap();
        lingering.push((sent, stream));
    }
    gets_through(&stage.joined("newcomer", "role=peer"));
    for (sent, stream) in lingering {
        let answered = if sent >= CHALLENGE { ANSWER } else { 0 };
        assert_eq!(rest(stream).len(), answered, "after {sent} bytes");
    }
    check_unharmed(&host, &bystander);
}

pub(crate) fn five_thousand_silent_connections_keep_nobody_out(stage: &mut Stage) {
    const SILENT: usize = 5000;
    // Descriptors of the host: its own, those of connections that have proven nothing yet, and
    // those that it is about to close.
    const DESCRIPTORS: usize = 1000;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let (host, bystander) = busy_pair(stage, "link=tcp max_connections=16");
    let port = Port::of_the_host(stage);
    let before = host.memory("VmHWM");
    let descriptors = || fs::read_dir(host.proc("fd")).unwrap().count();
    let mut silent = Vec::new();
    let mut most = 0;
    for n in 0..SILENT {
        silent.push(port.connect());
        if n % 500 == 499 {
            most = most.max(descriptors());
            gets_through(&stage.joined(format!("newcomer {n}"), "role=peer"));
        }
    }
    assert!(most < DESCRIPTORS, "{most} descriptors");
    check_unharmed(&host, &bystander);
    let grown = host.memory("VmHWM") - before;
    assert!(grown < SLACK, "the host grew by {} KiB", grown / 1024);
}

/// Puts something in the place of the port file. A newcomer has to name it.
fn check_named(stage: &Stage, label: &str, words: &str, put: impl Fn(&Path)) {
    let port = Port::of_the_host(stage);
    fs::remove_file(&port.file).unwrap();
    put(&port.file);
    let newcomer = stage.actor(format!("newcomer with {label}"));
    newcomer.open("role=peer connect_timeout=300");
    let error = newcomer.ask("join", "error join").text;
    assert!(error.contains(words), "{label}: {error}");
    let removed = fs::remove_file(&port.file).or_else(|_| fs::remove_dir(&port.file));
    removed.unwrap();
    // The host puts its own back.
    gets_through(&stage.joined(format!("after {label}"), "role=peer"));
}

pub(crate) fn whatever_is_no_port_file_is_named(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "link=tcp host_timeout=2400");
    let port = Port::of_the_host(stage);
    let secret = "00".repeat(32);
    let good = fs::read_to_string(&port.file).unwrap();
    let elsewhere = stage.path().join("elsewhere");
    fs::write(&elsewhere, &good).unwrap();
    let written = |text: String| move |file: &Path| fs::write(file, &text).unwrap();
    let invalid = "holds no port and secret";
    let beyond = |socket: &str| written(format!("open-channel tcp 1\n{socket}\n1 1\n{secret}\n"));
    check_named(stage, "a directory", "is no file", |file| fs::create_dir(file).unwrap());
    check_named(stage, "a link", "is a symbolic link", |file| symlink(&elsewhere, file).unwrap());
    check_named(stage, "a long one", "is too long", written(format!("{good}{}", "x".repeat(9999))));
    check_named(stage, "an endless one", "is no file", |file| {
        let made = Command::new("mkfifo").arg(file).status().unwrap();
        assert!(made.success());
    });
    check_named(stage, "an empty one", invalid, written(String::new()));
    check_named(stage, "half of it", invalid, written(good[..good.len() / 2].into()));
    check_named(stage, "a later one", invalid, written(good.replace("tcp 1\n", "tcp 2\n")));
    check_named(stage, "a short secret", invalid, beyond("127.0.0.1:80\n1 1\n0011"));
    check_named(stage, "a huge process", invalid, written(good.replace(' ', " 99999999999")));
    check_named(stage, "another machine", invalid, beyond("192.0.2.1:80"));
    check_named(stage, "all interfaces", invalid, beyond("0.0.0.0:80"));
    check_named(stage, "no port", invalid, beyond("127.0.0.1:0"));
    check_unharmed(&host, &bystander);
}

/// One that the host has not written says so, whatever it names.
pub(crate) fn another_users_port_file_is_named(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "link=tcp host_timeout=5000");
    check_named(stage, "another's", &format!("belongs to user {NOBODY}"), |file| {
        fs::write(file, "").unwrap();
        std::os::unix::fs::chown(file, Some(NOBODY), None).unwrap();
    });
    check_unharmed(&host, &bystander);
}

pub(crate) fn another_user_is_not_let_in_over_tcp(stage: &mut Stage) {
    let dir = stage.runtime_dir();
    fs::create_dir(&dir).unwrap();
    set_mode(&dir, 0o777);
    let host = stage.joined("host", &format!("link=tcp allow={NOBODY}"));
    let nobody = NOBODY.to_string();
    let other_user = stage.actor_with("other user", &[(USER, &*nobody)]);
    other_user.open("allow=0 connect_timeout=700");
    let error = other_user.ask("join", "error join").text;
    assert!(error.contains("cannot be opened"), "{error}");
    gets_through(&stage.joined("own", &format!("role=peer allow={NOBODY}")));
    assert_eq!(host.ask("status", "status").text, "status host 1 connected");
}

/// What another program does with those who connect to its port.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Program {
    Silent,
    Closes,
    Echoes,
    Talks,
}

impl Program {
    fn serve(self, listener: &TcpListener) {
        let listener = listener.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                let mut stream = stream;
                match self {
                    Self::Silent => kept.push(stream),
                    Self::Closes => {}
                    Self::Echoes => drop(std::thread::spawn(move || {
                        let mut bytes = [0; CHALLENGE];
                        let _ = stream.read_exact(&mut bytes);
                        let _ = stream.write_all(&bytes);
                        let _ = stream.write_all(&bytes);
                    })),
                    Self::Talks => drop(stream.write_all(&[b'x'; 4096])),
                }
            }
        });
    }
}

/// A living host's file names it, which only a process of the user can bring about.
pub(crate) fn another_program_at_the_port_is_not_taken_for_the_host(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "link=tcp host_timeout=5000");
    // Only of a silent one it takes time to know.
    let hasty = "connect_timeout=1000 host_timeout=300";
    for (program, words, patience) in [
        (Program::Silent, "does not answer", hasty),
        (Program::Closes, "connecting to 127.0.0.1:", "connect_timeout=5000"),
        (Program::Echoes, "does not know the secret", "connect_timeout=5000"),
        (Program::Talks, "does not know the secret", "connect_timeout=5000"),
    ] {
        let port = Port::of_the_host(stage);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        program.serve(&listener);
        let good = port.replace(listener.local_addr().unwrap());
        let newcomer = stage.actor(format!("newcomer at {program:?}"));
        newcomer.open(&format!("role=peer {patience}"));
        let error = newcomer.ask("join", "error join").text;
        assert!(error.contains(words), "{program:?}: {error}");
        fs::write(&port.file, good).unwrap();
        gets_through(&stage.joined(format!("after {program:?}"), "role=peer"));
    }
    check_unharmed(&host, &bystander);
}

pub(crate) fn another_program_at_a_dead_hosts_port_is_left_alone(stage: &mut Stage) {
    stage.force_link("tcp");
    let mut host = stage.joined("host", "");
    let mut others: Vec<Actor> = Vec::new();
    for generation in 2..=5 {
        let peer = stage.joined(format!("peer {generation}"), "outbox=16384");
        peer.tell("connect s");
        peer.tell("stream s");
        others.push(peer);
        traffic_flows(&others);
        let port = Port::of_the_host(stage);
        others.iter().for_each(Actor::stop);
        host.kill();
        // While connections to it end, the kernel may not give this very port away.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        port.replace(listener.local_addr().unwrap());
        others.iter().for_each(Actor::resume);
        let roles: Vec<_> = others.iter().map(|other| connected(other, generation)).collect();
        assert_eq!(roles.iter().filter(|role| *role == "host").count(), 1, "{roles:?}");
        traffic_flows(&others);
        gets_through(&stage.joined(format!("newcomer {generation}"), "role=peer"));
        let tried = listener.accept().map(drop).expect_err("a dead host's port was tried");
        assert_eq!(tried.kind(), std::io::ErrorKind::WouldBlock);
        let hosts = roles.iter().position(|role| role == "host").unwrap();
        host = others.swap_remove(hosts);
    }
}

/// A process in a container that shares the network and the directory. It cannot look for the
/// host's process by its number.
pub(crate) fn processes_of_two_pid_namespaces_meet(stage: &mut Stage) {
    stage.force_link("tcp");
    let inside = |label: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child"]);
        command.arg(std::env::current_exe().unwrap());
        let actor = stage.actor_by(command, label, &[]);
        actor.open("host_timeout=2000");
        actor.ask("join", "joined");
        actor
    };
    let host = stage.joined("host", "host_timeout=2000");
    let peer = inside("peer inside");
    assert_eq!(connected(&peer, 1), "peer");
    peer.ask("connect s", "socket s");
    peer.tell("stream s");
    traffic_flows([&peer]);
    assert_eq!(link_of(&peer, "s"), "loopback tcp");
    traffic_flows([&peer]);
    assert_eq!(host.ask("status", "status").text, "status host 1 connected");
    host.kill();
    assert_eq!(connected(&peer, 2), "host");
    // And the other way round.
    let outside = stage.joined("peer outside", "host_timeout=2000");
    assert_eq!(connected(&outside, 2), "peer");
    gets_through(&outside);
    assert_eq!(peer.count("event host-lost 2") + peer.count("event fenced"), 0);
}
