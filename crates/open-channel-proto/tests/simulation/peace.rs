//! The end of a world: no more faults, until everything is over.

use crate::world::{Life, Side, World, note};

/// Peace: no faults, eager applications.
impl World {
    pub fn make_peace(&mut self) {
        note!(self, "peace");
        self.calm = true;
        for host in 0..self.hosts.len() {
            if self.hosts[host].life != Life::Running && self.hosts[host].life != Life::Dead {
                self.die(host);
            }
        }
        // A peer that needs gaps would wait for a newer host for ever.
        if let Some(host) = self.current.filter(|host| self.hosts[*host].version < 2)
            && self.sockets.iter().any(|socket| socket.version > 1)
        {
            self.die(host);
        }
        if self.current.is_none() {
            self.elect();
        }
        for link in &mut self.links {
            link.up.stall(0);
            link.down.stall(0);
        }
    }

    pub fn round(&mut self) {
        for socket in 0..self.sockets.len() {
            self.connect(socket);
            self.serve_in_peace(Side::Peer(socket));
        }
        let Some(host) = self.current else { return };
        self.read_hello(host);
        for socket in self.hosts[host].sockets.keys().copied().collect::<Vec<_>>() {
            self.serve_in_peace(Side::Host(host, socket));
        }
    }

    fn serve_in_peace(&mut self, side: Side) {
        self.read(side, usize::MAX);
        self.release_held(side);
        self.deliver(side);
        while !self.end(side).unhandled().is_empty() {
            self.handle_some(side);
        }
        while self.end(side).has_more_to_send() {
            self.send(side);
            if self.end(side).waiting.is_some() {
                break;
            }
        }
        let end = self.end(side);
        if !end.has_more_to_send()
            && (matches!(side, Side::Peer(_)) || end.session.is_remote_finished())
        {
            self.finish(side);
        }
        self.write(side, usize::MAX);
        self.acknowledge(side);
        self.write(side, usize::MAX);
        self.check(side);
    }
}
