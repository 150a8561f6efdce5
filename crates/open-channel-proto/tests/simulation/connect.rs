//! Links and their handshakes.

use crate::endpoint::{CHANNEL, Endpoint};
use crate::ledger::Content;
use crate::link::{Link, Rings};
use bytes::{Buf, BytesMut};
use open_channel_proto::{
    Attachment, Features, Frame, HANDSHAKE_MAX_BODY, Hello, Reject, RejectCode, Session,
    TransmitBuffer, Welcome, decode,
};
use std::collections::VecDeque;

use crate::traffic::all_bytes;
use crate::world::{Host, Life, Side, World, end_of, note};

/// Links and handshakes.
impl World {
    pub fn end(&mut self, side: Side) -> &mut Endpoint {
        match side {
            Side::Peer(socket) => &mut self.sockets[socket].end,
            Side::Host(host, socket) => {
                self.hosts[host].sockets.get_mut(&socket).expect("a socket it knows")
            }
        }
    }

    pub fn other(&self, side: Side, link: usize) -> Side {
        match side {
            Side::Peer(socket) => Side::Host(self.links[link].host, socket),
            Side::Host(_, socket) => Side::Peer(socket),
        }
    }

    /// A socket without a link looks for one. One that is closed only returns to a host that may
    /// not know yet.
    pub fn connect(&mut self, socket: usize) {
        let end = &self.sockets[socket].end;
        if end.link.is_some() {
            return;
        }
        let outdated = |host: &Host| matches!(host.life, Life::Asleep | Life::Outdated);
        let old: Vec<usize> =
            (0..self.hosts.len()).filter(|&host| outdated(&self.hosts[host])).collect();
        let host = if !old.is_empty() && self.random.chance(25) {
            self.random.pick(&old)
        } else {
            let Some(current) = self.current else { return };
            current
        };
        if end.is_closed() {
            let knows = self.hosts[host].sockets.get(&socket).is_some_and(|end| !end.is_closed());
            if !knows {
                return;
            }
        }
        let link = self.links.len();
        note!(
            self,
            "socket {socket} of peer {} connects to host {host}: link {link}",
            self.sockets[socket].peer
        );
        self.links.push(Link::new(socket, host));
        self.hosts[host].unanswered.push((link, BytesMut::new()));
        let offer = self.random.chance(self.offers);
        let rings = offer.then(|| Rings::new(&mut self.random, self.max_message));
        let socket = &mut self.sockets[socket];
        socket.latest = Some(link);
        socket.end.link = Some(link);
        let features = if offer { Features::RING } else { Features::default() };
        let mut hello = socket.end.session.hello(CHANNEL, features);
        hello.ring = rings.as_ref().map(Rings::sizes).unwrap_or_default();
        hello.version_max = socket.version;
        self.links[link].rings = rings;
        Frame::Hello(hello).encode(&mut socket.end.out);
    }

    pub fn newest(&self) -> u64 {
        self.hosts.len() as u64
    }

    pub fn read_hellos(&mut self) {
        let hosts: Vec<usize> = (0..self.hosts.len()).filter(|&host| self.is_awake(host)).collect();
        if !hosts.is_empty() {
            let host = self.random.pick(&hosts);
            self.read_hello(host);
        }
    }

    /// A host reads on links that have not said hello, in any order.
    pub fn read_hello(&mut self, host: usize) {
        for mut index in (0..self.hosts[host].unanswered.len()).rev() {
            if !self.calm && self.random.chance(30) {
                index = self.random.below(self.hosts[host].unanswered.len());
            }
            let most = if self.calm { usize::MAX } else { self.measure() };
            let (link, buf) = &mut self.hosts[host].unanswered[index];
            let link = *link;
            buf.extend_from_slice(&self.links[link].up.read(self.now, most));
            let frame = decode(buf, HANDSHAKE_MAX_BODY).expect("a whole handshake");
            let (frame, len) = frame.map(|(frame, len)| (frame.into_owned(), len)).unzip();
            buf.advance(len.unwrap_or(0));
            match frame {
                Some(Frame::Hello(hello)) => {
                    let (_, rest) = self.hosts[host].unanswered.swap_remove(index);
                    self.welcome(host, link, &hello, rest);
                }
                Some(other) => panic!("a link began with {other:?}"),
                None if self.links[link].up.is_at_end(self.now) => {
                    self.links[link].hang_up();
                    self.hosts[host].unanswered.swap_remove(index);
                }
                None => {}
            }
            if self.hosts[host].unanswered.is_empty() {
                return;
            }
        }
    }

    fn welcome(&mut self, host: usize, link: usize, hello: &Hello, rest: BytesMut) {
        let version = hello.negotiate(&CHANNEL).expect("a common version, and the same channel");
        let version = version.min(self.hosts[host].version);
        let socket = self.links[link].socket;
        assert_eq!(hello.socket, self.sockets[socket].end.session.id());
        if version < hello.version_min {
            self.tally.gaps_that_version_1_cannot_tell += 1;
            return self.refuse(link, RejectCode::Version, "it has no gaps");
        }
        if self.hosts[host].life == Life::Leaving {
            return self.refuse(link, RejectCode::GoingAway, "handing over");
        }
        if self.hosts[host].sockets.get(&socket).is_some_and(|end| end.has_store) {
            // Before anything is said of where to go on, what the old link holds has to come back.
            self.lose(Side::Host(host, socket));
        }
        if self.hosts[host].sockets.contains_key(&socket) {
            self.resume_at(host, socket, link, hello, rest, version);
        } else {
            self.accept_at(host, socket, link, hello, rest, version);
        }
    }

    /// The host knows the socket.
    fn resume_at(
        &mut self,
        host: usize,
        socket: usize,
        link: usize,
        hello: &Hello,
        rest: BytesMut,
        version: u16,
    ) {
        let Host { generation, .. } = self.hosts[host];
        let end = self.hosts[host].sockets.get_mut(&socket).expect("it knows the socket");
        let welcome = match end.session.resume(hello, version) {
            Ok(welcome) => welcome,
            Err(error) => {
                note!(self, "host {host} refuses link {link}: {error}");
                let overtaken = self.sockets[socket].latest != Some(link);
                let outdated = hello.generation > generation;
                assert!(overtaken || outdated, "host {host} refuses to resume: {error}");
                self.tally.overtaken_hellos += u64::from(overtaken);
                self.tally.outdated_hosts += u64::from(outdated);
                return self.refuse(link, RejectCode::Protocol, "outdated");
            }
        };
        note!(self, "host {host} resumes socket {socket} on link {link}: {welcome:?}");
        assert_eq!(welcome.resumed, hello.generation == generation, "resumed or not");
        if !welcome.resumed {
            self.tally.lost_welcomes += 1;
            assert!(end.slots.is_empty(), "nothing can have been received");
            end.sent.first = hello.recv_next;
            end.acknowledged = hello.recv_next;
            end.received_next = hello.first;
            end.handled_through = hello.first - 1;
            if hello.ended {
                end.sent.entries.clear();
            }
            end.carried = Some((hello.recv_next - 1, hello.unhandled as usize)).filter(|c| c.1 > 0);
        }
        end.take_back_what_was_not_seen(&mut self.tally);
        end.out.clear();
        end.buf.clear();
        if let Some(old) = end.link.replace(link) {
            self.links[old].hang_up();
        }
        self.acknowledged(Side::Host(host, socket));
        self.answer(host, socket, link, welcome, hello, rest);
    }

    /// The host meets the socket for the first time.
    fn accept_at(
        &mut self,
        host: usize,
        socket: usize,
        link: usize,
        hello: &Hello,
        rest: BytesMut,
        version: u16,
    ) {
        let Host { generation, limits, .. } = self.hosts[host];
        let (session, welcome) =
            Session::accept(hello, version, generation, limits).expect("an honest hello");
        note!(self, "host {host} accepts socket {socket} on link {link}: {welcome:?}");
        assert!(!welcome.resumed);
        self.tally.ended_before += u64::from(hello.ended);
        let habits = self.habits();
        let plan = if hello.ended { VecDeque::new() } else { self.plan(2) };
        let mut end = Endpoint::new(session, limits, habits, plan);
        end.link = Some(link);
        end.carried = Some((hello.recv_next - 1, hello.unhandled as usize)).filter(|c| c.1 > 0);
        self.tally.carried += u64::from(end.carried.is_some());
        self.hosts[host].sockets.insert(socket, end);
        self.answer(host, socket, link, welcome, hello, rest);
    }

    fn answer(
        &mut self,
        host: usize,
        socket: usize,
        link: usize,
        mut welcome: Welcome,
        hello: &Hello,
        rest: BytesMut,
    ) {
        let window = self.sockets[socket].end.limits.window;
        assert_eq!(hello.window, window as u64);
        let side = Side::Host(host, socket);
        let end = self.end(side);
        end.remote_window = window;
        end.version = welcome.version;
        end.buf = rest;
        end.link = Some(link);
        if hello.features.contains(Features::RING) && self.random.chance(self.takes) {
            welcome.features = Features::RING;
            self.use_store(side);
        }
        Frame::Welcome(welcome).encode(&mut self.end(side).out);
        self.check(side);
    }

    fn refuse(&mut self, link: usize, code: RejectCode, reason: &str) {
        let mut out = TransmitBuffer::default();
        Frame::Reject(Reject::new(code, reason)).encode(&mut out);
        self.links[link].down.write(&all_bytes(&out));
        self.links[link].hang_up();
    }

    pub fn attach(&mut self, socket: usize, link: usize, welcome: &Welcome) {
        let host = self.links[link].host;
        let window = self.hosts[host].limits.window;
        let end = &mut self.sockets[socket].end;
        let before = end.session.generation();
        match end.session.attach(welcome) {
            Ok(attachment) => {
                end.version = welcome.version;
                let versions =
                    [&mut self.tally.links_of_version_1, &mut self.tally.links_of_version_2];
                *versions[usize::from(welcome.version) - 1] += 1;
                note!(
                    self,
                    "socket {socket} is attached to host {host} by link {link}: {attachment:?}"
                );
                let same = before == welcome.generation;
                let expected = if same { Attachment::Resumed } else { Attachment::Fresh };
                assert_eq!(attachment, expected, "resumed if and only if the host is the same");
                end.remote_window = window;
                match attachment {
                    Attachment::Resumed => self.tally.resumed += 1,
                    Attachment::Fresh => {
                        self.tally.moved += u64::from(before > 0);
                        self.starts_over(socket, welcome);
                    }
                }
                self.acknowledged(Side::Peer(socket));
                let end = &mut self.sockets[socket].end;
                end.take_back_what_was_not_seen(&mut self.tally);
                let resumed_from_one =
                    u64::from(end.left_a_store && attachment == Attachment::Resumed);
                end.left_a_store = false;
                if welcome.features.contains(Features::RING) {
                    self.tally.from_store_to_store += resumed_from_one;
                    self.use_store(Side::Peer(socket));
                } else {
                    self.tally.from_store_to_frames += resumed_from_one;
                    self.links[link].rings = None;
                }
            }
            Err(error) => {
                note!(self, "socket {socket} does not want host {host}: {error}");
                // This host knows no gaps, and the peer has taken something back since its hello.
                let knows_no_gaps = welcome.version < 2;
                assert!(
                    welcome.generation < before || knows_no_gaps,
                    "socket {socket} cannot attach: {error}"
                );
                self.tally.outdated_hosts += 1;
                self.lose(Side::Peer(socket));
            }
        }
        self.check(Side::Peer(socket));
    }

    /// The peer meets a new host: nobody is left to take back what was given up.
    fn starts_over(&mut self, socket: usize, welcome: &Welcome) {
        let end = &mut self.sockets[socket].end;
        end.first_of_sender = end.received_next;
        for slot in end.slots.iter_mut().filter(|slot| slot.given_up) {
            slot.handled = true;
        }
        end.drop_whole_units();
        end.take_apart_and_back(welcome, &mut self.tally);
        // An acknowledged end, and nothing else, goes out again.
        let first = end.session.first_unacknowledged();
        if first < end.acknowledged {
            assert_eq!((first, end.sent.next()), (end.acknowledged - 1, end.acknowledged));
            assert_eq!(end.sent.entry(first).map(|last| &last.content), Some(&Content::End));
            end.acknowledged = first;
        }
    }

    /// A side drops its link or has seen its end.
    pub fn lose(&mut self, side: Side) {
        self.give_up_store(side);
        if let Some(link) = self.end(side).unlink() {
            end_of(&mut self.sockets, &mut self.hosts, side)
                .take_back_what_was_not_seen(&mut self.tally);
            let half_handled = self.end(side).has_half_handled_pack();
            self.tally.packs_half_handled_at_the_end_of_a_link += u64::from(half_handled);
            note!(self, "{side:?} is without link {link}");
            self.links[link].hang_up();
        }
    }
}
