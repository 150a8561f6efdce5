//! A host's work with many connections.

use crate::tally::Tally;
use crate::transport::{Endpoint, Transport, ready};
use anyhow::Result;
use std::sync::Arc;

/// A host's work with one of many connections. It ends with the connection, and so may end in an
/// error.
pub(crate) async fn receive<E: Endpoint>(mut endpoint: E, tally: Arc<Tally>) -> Result<()> {
    endpoint.drain(&tally, 1).await
}

/// A thread for each connection.
pub(crate) async fn receive_in_threads<T: Transport>(mut host: T, tally: Arc<Tally>) -> Result<()>
where
    T::Endpoint: Send + 'static,
{
    loop {
        let endpoint = host.accept().await?;
        let tally = Arc::clone(&tally);
        std::thread::spawn(move || ready(receive(endpoint, tally)));
    }
}
