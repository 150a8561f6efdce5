//! The role of a process on its channel: it finds the host or becomes it, and again after each
//! loss.
//!
//! ```text
//!              ┌───────────┐  published a generation   ┌─────────┐
//!    start ──▶ │ searching │ ────────────────────────▶ │ hosting │
//!              └───────────┘ ◀──────────────────────── └─────────┘
//!                │  ▲  │            fenced off              │ closed: hand over
//!      welcomed  │  │  │ timeout                            ▼
//!                ▼  │  └────────────────────────────▶ ┌────────┐
//!              ┌───────┐   host lost / handed over    │ closed │
//!              │ peer  │ ───── (to searching)         └────────┘
//!              └───────┘
//! ```

use std::sync::Arc;

use crate::channel::event::{Event, Role};
use crate::channel::shared::{Place, Shared};
use crate::error::Error;
use crate::membership::accept::Acceptor;
use crate::membership::host::Host;
use crate::membership::lifeline::{Lifeline, Loss};
use crate::membership::search::{Found, Predecessor, Search};
use crate::rendezvous::directory::Missing;
use crate::rendezvous::election::Tenure;
use crate::rendezvous::endpoint::Endpoint;
use crate::rendezvous::{fence, removal};

pub(crate) mod accept;
pub(crate) mod handshake;
pub(crate) mod host;
mod lifeline;
pub(crate) mod peer;
pub(crate) mod question;
mod search;
mod status;
mod tap;

/// Runs on the background thread until the channel is closed.
pub(crate) async fn run(shared: Arc<Shared>) {
    let Outcome { error, others } = take_part(&shared).await;
    // A killed process cannot clean up; the next one to leave does it.
    if others != Others::Host
        && let Ok(dir) = shared.open_dir(Missing::Leave)
    {
        if let Err(error) = removal::remove_if_deserted(&dir) {
            tracing::debug!(channel = shared.name(), %error, "the directory stays");
        }
        if others == Others::None {
            removal::remove_others(&dir);
        }
    }
    shared.ended(error);
}

/// The way in which taking part ended.
struct Outcome {
    /// The error; `None` if the channel is being closed.
    error: Option<Error>,
    others: Others,
}

/// Knowledge of other processes at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    /// No process is known to host.
    None,
    /// There was a host a moment ago. It may have handed over, and left its directory to this
    /// process.
    Peers,
    /// There is a host, and this process cannot judge whether it lives.
    Host,
}

impl Outcome {
    /// The channel is being closed, and no other process is known to host it.
    const CLOSED: Self = Self { error: None, others: Others::None };
    const CLOSED_AS_PEER: Self = Self { error: None, others: Others::Peers };

    fn failed(error: Error) -> Self {
        // A host sent the other errors.
        let of_the_place = matches!(
            error,
            Error::Timeout { .. }
                | Error::Directory { .. }
                | Error::GenerationFile { .. }
                | Error::Io { .. }
        );
        Self { error: Some(error), others: if of_the_place { Others::None } else { Others::Host } }
    }
}

async fn take_part(shared: &Arc<Shared>) -> Outcome {
    let mut search = Search::new(shared);
    loop {
        shared.set_place(Place::Searching);
        let found = tokio::select! {
            found = search.find() => found,
            _ = shared.closing() => return Outcome::CLOSED,
        };
        match found {
            Ok(Found::Tenure(tenure, predecessor)) => {
                search.last_generation = tenure.generation();
                if predecessor == Predecessor::Alive {
                    tokio::select! {
                        () = tokio::time::sleep(fence::lease(shared.settings.host_timeout)) => {}
                        _ = shared.closing() => return Outcome::CLOSED,
                    }
                }
                match be_host(shared, *tenure).await {
                    accept::End::Closing => return Outcome::CLOSED,
                    accept::End::Fenced => {}
                }
            }
            Ok(Found::Peer(lifeline, endpoint)) => {
                search.last_generation = lifeline.generation;
                tokio::select! {
                    loss = be_peer(shared, lifeline, endpoint) => search.lost(loss),
                    _ = shared.closing() => return Outcome::CLOSED_AS_PEER,
                }
            }
            Err(error) => return Outcome::failed(error),
        }
    }
}

async fn be_host(shared: &Arc<Shared>, tenure: Tenure) -> accept::End {
    let generation = tenure.generation();
    let endpoint = tenure.endpoint();
    let directory = endpoint.directory().display();
    tracing::info!(channel = shared.name(), generation, %directory, "elected: this process hosts");
    let host = Arc::new(Host::new(&tenure, &shared.settings));
    shared.set_place(Place::Hosting(Arc::clone(&host)));
    shared.announce(Event::BecameHost { generation });
    shared.announce(Event::Connected { role: Role::Host, generation });
    let end = Acceptor::new(shared, &host).serve(tenure).await;
    if end == accept::End::Fenced {
        tracing::warn!(channel = shared.name(), generation, "fenced: another process hosts");
        shared.abandon_links();
        shared.announce(Event::Fenced { generation });
    }
    end
}

async fn be_peer(shared: &Arc<Shared>, mut lifeline: Lifeline, endpoint: Endpoint) -> Loss {
    let generation = lifeline.generation;
    shared.set_place(Place::Peer { generation, endpoint });
    shared.announce(Event::Connected { role: Role::Peer, generation });
    let loss = lifeline.watch(shared.settings.host_timeout).await;
    tracing::info!(channel = shared.name(), generation, ?loss, "lost the host");
    // Messages that the host had sent are taken in before its end is reported.
    shared.set_place(Place::Searching);
    shared.abandon_links();
    shared.announce(match loss {
        Loss::HandedOver => Event::HandedOver { generation },
        Loss::Gone | Loss::Stuck => Event::HostLost { generation },
    });
    loss
}
