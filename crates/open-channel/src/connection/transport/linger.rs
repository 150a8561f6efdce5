//! The last frames of a transport that ends at once.
//!
//! A link that takes no more when its session ends would cut off the frame that says why. A named
//! pipe takes nothing while its last write is under way, a socket nothing while its buffer is full.
//! So the background runtime writes the rest, and then ends the link.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::link::Link;
use crate::sys::Registration;

/// How long a link lingers. If that is not enough, the other side is stopped, or reads nothing.
const LIMIT: Duration = Duration::from_secs(2);

/// Pause before another try to write to a link that cannot be watched: its driver may still do so.
const PAUSE: Duration = Duration::from_millis(1);

/// Writes `rest` on the background runtime, then ends the link.
pub(super) fn linger(link: Arc<Link>, rest: Vec<u8>, background: &Handle) -> JoinHandle<()> {
    background.spawn(async move {
        let written = tokio::time::timeout(LIMIT, write(&link, &rest)).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::debug!("a link ended before its last frames were written");
        }
        link.shutdown();
    })
}

async fn write(link: &Arc<Link>, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        match link.write(&[IoSlice::new(rest)]) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => room(link).await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn room(link: &Arc<Link>) -> io::Result<()> {
    match Registration::new(link.stream_source()) {
        Ok(stream) => stream.writable().await.map(drop),
        Err(_) => {
            tokio::time::sleep(PAUSE).await;
            Ok(())
        }
    }
}
