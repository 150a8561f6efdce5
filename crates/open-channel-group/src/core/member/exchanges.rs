//! Requests to other members that have no answer yet. Calls and jobs are made of them.

use std::collections::BTreeMap;

use super::out::Out;
use crate::core::frame::{ExchangeFrame, Reply, RequestBody, ToHost};
use crate::core::ids::{CallId, ExchangeId, JobId, MemberId};

/// The use of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Call(CallId),
    Job(JobId),
    /// Its asker gave up, and only waits for its end.
    Abandoned,
}

/// How an exchange ended.
#[derive(Debug)]
pub(crate) enum End {
    Answered(Reply),
    /// The other member is gone. Without `sent` it never had the request.
    Gone {
        sent: bool,
    },
}

/// An exchange that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) purpose: Purpose,
    pub(crate) cost: usize,
    pub(crate) end: End,
}

#[derive(Debug)]
struct Exchange {
    to: MemberId,
    /// Nothing once it is abandoned.
    body: Option<RequestBody>,
    purpose: Purpose,
    cost: usize,
    sent: bool,
}

/// The asker's side of all exchanges.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    last: u64,
    open: BTreeMap<ExchangeId, Exchange>,
}

impl Exchanges {
    pub(crate) fn start(
        &mut self,
        to: MemberId,
        body: RequestBody,
        purpose: Purpose,
        cost: usize,
        out: &mut Out,
    ) -> ExchangeId {
        self.last += 1;
        let id = ExchangeId(self.last);
        let mut exchange = Exchange { to, body: Some(body), purpose, cost, sent: false };
        exchange.send(id, out);
        self.open.insert(id, exchange);
        id
    }

    /// The asker gives up. Its cost when the exchange is over with that: it was never sent.
    pub(crate) fn abandon(&mut self, id: ExchangeId, out: &mut Out) -> Option<usize> {
        let exchange = self.open.get_mut(&id)?;
        if !exchange.sent {
            return self.open.remove(&id).map(|exchange| exchange.cost);
        }
        exchange.body = None;
        exchange.purpose = Purpose::Abandoned;
        exchange.send(id, out);
        None
    }

    /// An answer, which gets its receipt whether or not it was waited for.
    pub(crate) fn answered(
        &mut self,
        from: MemberId,
        id: ExchangeId,
        reply: Reply,
        out: &mut Out,
    ) -> Option<Ended> {
        out.send(ToHost::Send { to: from, frame: ExchangeFrame::Receipt { exchange: id } });
        if self.open.get(&id).is_none_or(|exchange| exchange.to != from) {
            return None;
        }
        let Exchange { purpose, cost, .. } = self.open.remove(&id)?;
        Some(Ended { purpose, cost, end: End::Answered(reply) })
    }

    /// A member has left the view.
    pub(crate) fn member_left(&mut self, member: MemberId) -> Vec<Ended> {
        self.end_all(|exchange| exchange.to == member)
    }

    /// This member was put out: to all others it is gone.
    pub(crate) fn put_out(&mut self) -> Vec<Ended> {
        self.end_all(|_| true)
    }

    fn end_all(&mut self, which: impl Fn(&Exchange) -> bool) -> Vec<Ended> {
        let (over, open) =
            std::mem::take(&mut self.open).into_iter().partition(|(_, exchange)| which(exchange));
        self.open = open;
        let over: BTreeMap<ExchangeId, Exchange> = over;
        over.into_values()
            .map(|Exchange { purpose, cost, sent, .. }| Ended {
                purpose,
                cost,
                end: End::Gone { sent },
            })
            .collect()
    }

    /// Another host serves. A member that has a request already knows it by its number.
    pub(crate) fn send_again(&mut self, out: &mut Out) {
        for (&id, exchange) in &mut self.open {
            exchange.send(id, out);
        }
    }
}

impl Exchange {
    fn send(&mut self, exchange: ExchangeId, out: &mut Out) {
        if !out.is_active() {
            return;
        }
        let frame = match &self.body {
            Some(body) => ExchangeFrame::Request { exchange, body: body.clone() },
            None => ExchangeFrame::Cancel { exchange },
        };
        self.sent = true;
        out.send(ToHost::Send { to: self.to, frame });
    }
}
