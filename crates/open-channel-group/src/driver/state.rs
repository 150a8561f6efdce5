//! The state under a driver's lock: the member, who waits for it, its locks and its presence.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use open_channel::{Error as ChannelError, Socket};
use tokio::sync::{broadcast, watch};

use super::board::{Board, Unwanted};
use super::clock;
use super::directory::{Directory, Presence};
use super::kernel::{KernelLocks, Report};
use crate::core::{
    Event, LeaveReason, Member, MemberId, Name, Outcome, ProtocolError, Refused, RequestId,
};
use crate::engine::{self, View};
use crate::error::Error;

/// Where a member stands, for those who wait for that.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    Joining,
    /// A host serves it, or did.
    In,
    /// It has left, or the group has failed.
    Over(Option<Error>),
}

/// How a member is shown to its application. Receivers learn of the end by its drop.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) view: watch::Sender<View>,
    pub(super) events: broadcast::Sender<engine::Event>,
    pub(super) standing: watch::Sender<Standing>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) member: Member,
    pub(super) socket: Arc<Socket>,
    pub(super) board: Board,
    kernel: KernelLocks,
    directory: Option<Directory>,
    presence: Option<Presence>,
    /// A message that the socket had no room for.
    outgoing: Option<Bytes>,
    /// Answers that the window had no room for.
    answers: VecDeque<(RequestId, Result<Bytes, String>)>,
    /// Services whose end the window had no room for.
    unserved: Vec<Name>,
    pub(super) shown: Shown,
    /// It is about to leave: nothing more is begun.
    pub(super) closing: bool,
    pub(super) left: bool,
    /// The group cannot go on.
    pub(super) failed: Option<Error>,
    /// Length of the message that the socket has no room for.
    pub(super) blocked: Option<usize>,
    /// When the driver's task wakes by itself.
    pub(super) armed: Option<Duration>,
}

impl State {
    pub(super) fn new(member: Member, socket: Socket, shown: Shown) -> Self {
        Self {
            member,
            socket: Arc::new(socket),
            board: Board::default(),
            kernel: KernelLocks::default(),
            directory: None,
            presence: None,
            outgoing: None,
            answers: VecDeque::new(),
            unserved: Vec::new(),
            shown,
            closing: false,
            left: false,
            failed: None,
            blocked: None,
            armed: None,
        }
    }

    /// The socket is connected to the host of this generation, in the channel of this directory.
    pub(super) fn connected(&mut self, generation: u64, directory: Directory) -> Result<(), Error> {
        self.directory = Some(directory);
        self.outgoing = None;
        self.show_presence(generation)?;
        self.member.connected(generation, clock::now());
        Ok(())
    }

    /// Before the member presents itself anywhere, the kernel knows that its process lives.
    fn show_presence(&mut self, generation: u64) -> Result<(), Error> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let id = self.member.id();
        let shown = match &mut self.presence {
            Some(presence) => presence.renew(directory, id),
            None => {
                Presence::announce(directory, id, generation).map(|made| self.presence = Some(made))
            }
        };
        shown.map_err(|error| Error::Directory(error.to_string()))
    }

    /// The file by which the kernel holds a lock.
    #[cfg(unix)]
    pub(super) fn lend(&mut self, lock: crate::core::LockId) -> std::io::Result<std::fs::File> {
        self.kernel.lend(lock)
    }

    /// Whether something may be begun.
    pub(super) fn check(&self) -> Result<(), Refused> {
        let over =
            self.closing || self.left || matches!(*self.shown.standing.borrow(), Standing::Over(_));
        if over { Err(Refused::Left) } else { Ok(()) }
    }

    /// Whether there is a map to read.
    pub(super) fn check_replica(&self) -> Result<(), Error> {
        match &*self.shown.standing.borrow() {
            Standing::Over(error) => Err(error.clone().unwrap_or(Error::Left)),
            _ if self.member.mark().is_none() => Err(Error::Out),
            _ => Ok(()),
        }
    }

    /// Ends a service; later, if the window of writes has no room now.
    pub(super) fn unserve(&mut self, service: Name) {
        self.board.unserve(&service);
        if matches!(self.member.unserve(service.clone()), Err(Refused::Full)) {
            self.unserved.push(service);
        }
    }

    pub(super) fn receive(&mut self, message: Bytes) -> Result<(), ProtocolError> {
        self.member.receive(message, clock::now())
    }

    pub(super) fn handle_timeout(&mut self) {
        let now = clock::now();
        self.armed = None;
        self.member.handle_timeout(now);
        if let Some(directory) = &self.directory {
            for report in self.kernel.handle_timeout(directory, now) {
                take_report(&mut self.member, report, now);
            }
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        self.member.next_timeout().into_iter().chain(self.kernel.next_timeout()).min()
    }

    /// Answers a request; later, if the window has no room now.
    pub(super) fn answer(
        &mut self,
        request: RequestId,
        answer: Result<Bytes, String>,
    ) -> Result<(), Refused> {
        self.board.answered(request);
        if !self.answers.is_empty() {
            self.answers.push_back((request, answer));
            return Ok(());
        }
        match self.member.answer(request, answer.clone()) {
            Err(Refused::Full) => {
                self.answers.push_back((request, answer));
                Ok(())
            }
            answered => answered,
        }
    }

    fn answer_waiting(&mut self) {
        for service in std::mem::take(&mut self.unserved) {
            if !self.board.serves(&service) {
                self.unserve(service);
            }
        }
        while let Some((request, answer)) = self.answers.front() {
            match self.member.answer(*request, answer.clone()) {
                Err(Refused::Full) => return,
                // Nobody waits for it any more, if it was refused.
                Ok(()) | Err(_) => drop(self.answers.pop_front()),
            }
        }
    }

    /// Does everything that the last step of the member has made due, but for sending.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        loop {
            self.answer_waiting();
            while let Some(event) = self.member.poll_event() {
                self.take(event)?;
            }
            let (Some(request), Some(directory)) = (self.member.poll_kernel(), &self.directory)
            else {
                break;
            };
            let now = clock::now();
            if let Some(report) = self.kernel.request(request, directory, now) {
                take_report(&mut self.member, report, now);
            }
        }
        let number = self.member.view().0;
        self.shown.view.send_if_modified(|view| {
            let changed = view.number != number;
            if changed {
                *view = View { number, members: self.member.view().1.to_vec() };
            }
            changed
        });
        Ok(())
    }

    fn take(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Serving { tenure } => {
                self.shown.standing.send_if_modified(|standing| {
                    let joins = matches!(standing, Standing::Joining);
                    if joins {
                        *standing = Standing::In;
                    }
                    joins
                });
                self.announce(engine::Event::Serving { generation: tenure });
            }
            Event::MemberJoined { view, member } => {
                self.announce(engine::Event::Joined { view, member });
            }
            Event::MemberLeft { view, id, reason } => {
                self.announce(engine::Event::Left { view, id, reason });
            }
            Event::PutOut { reason } => {
                self.announce(engine::Event::PutOut { reason });
                self.board.interrupt(&mut self.member);
                if matches!(reason, LeaveReason::Violation | LeaveReason::TooMany) {
                    let problem = format!("the group put this member out: {reason:?}");
                    return Err(ChannelError::Refused(problem).into());
                }
                self.come_back()?;
            }
            Event::Left => self.left = true,
            event => match self.board.take(event) {
                Some(Unwanted::Request(request)) => {
                    let reason = Err("its service has ended".into());
                    // It may be cancelled already.
                    let _ = self.answer(request, reason);
                }
                Some(Unwanted::Run(run)) => {
                    let _ = self.member.finish(run, Outcome::Nak(Duration::ZERO));
                }
                None => {}
            },
        }
        Ok(())
    }

    fn announce(&self, event: engine::Event) {
        // Nobody may be listening.
        let _ = self.shown.events.send(event);
    }

    fn come_back(&mut self) -> Result<(), Error> {
        let id = random_id()?;
        if let (Some(presence), Some(directory)) = (&mut self.presence, &self.directory) {
            presence.renew(directory, id).map_err(|error| Error::Directory(error.to_string()))?;
        }
        self.member.rejoin(id, clock::now());
        Ok(())
    }

    /// Sends what lies ready. Returns the length of a message that there is no room for.
    pub(super) fn send(&mut self) -> Option<usize> {
        let socket = Arc::clone(&self.socket);
        while let Some(message) = self.outgoing.take().or_else(|| self.member.poll_send()) {
            let len = message.len();
            if let Err(refused) = socket.try_send(message)
                && matches!(refused.error, ChannelError::Full)
            {
                self.outgoing = Some(refused.message);
                return Some(len);
            }
            // A socket that is over is noticed by the driver's task.
        }
        None
    }

    /// The group is over.
    pub(super) fn end(&mut self, error: Option<Error>) -> Vec<Waker> {
        self.left = true;
        self.board.end_all();
        self.kernel = KernelLocks::default();
        self.presence = None;
        if let Some(directory) = self.directory.take() {
            directory.remove_if_deserted();
        }
        self.shown.standing.send_if_modified(|standing| {
            let ends = !matches!(standing, Standing::Over(_));
            if ends {
                *standing = Standing::Over(error);
            }
            ends
        });
        self.shown.view = watch::Sender::new(View::default());
        self.shown.events = broadcast::Sender::new(1);
        std::mem::take(&mut self.board.wakes)
    }

    /// The member is gone as if its process had been killed.
    pub(super) fn abandon(&mut self) -> Vec<Waker> {
        if let Some(presence) = self.presence.take() {
            presence.leave_behind();
        }
        self.end(None)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(*self.shown.standing.borrow(), Standing::Over(_))
    }
}

fn take_report(member: &mut Member, report: Report, now: Duration) {
    match report {
        Report::Taken { lock, outdated } => member.kernel_lock_taken(lock, outdated, now),
        Report::Busy { lock } => member.kernel_lock_busy(lock, now),
    }
}

pub(super) fn random_id() -> Result<MemberId, Error> {
    let id =
        getrandom::u64().map_err(|error| Error::Directory(format!("no randomness: {error}")))?;
    Ok(MemberId(id))
}
