//! The plain tokio TCP socket on the loopback interface, with length-delimited frames.

use crate::job::Job;
use crate::receive;
use crate::subjects::tokio_socket::Frames;
use crate::tally::Tally;
use crate::transport::{Runtime, Transport};
use anyhow::Result;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

/// The file that has the port.
const PORT: &str = "port";

pub(crate) struct TokioTcp {
    listener: TcpListener,
}

fn frames(stream: TcpStream) -> Result<Frames<false, TcpStream>> {
    stream.set_nodelay(true)?;
    Ok(Frames::new(stream))
}

impl Transport for TokioTcp {
    type Endpoint = Frames<false, TcpStream>;
    const RUNTIME: Runtime = Runtime::Tokio;

    async fn host(job: &Job) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        // Whoever finds the file finds all of it.
        let (new, published) = (job.place.join("new"), job.place.join(PORT));
        std::fs::write(&new, listener.local_addr()?.to_string())?;
        std::fs::rename(new, published)?;
        Ok(TokioTcp { listener })
    }

    async fn accept(&mut self) -> Result<Self::Endpoint> {
        frames(self.listener.accept().await?.0)
    }

    async fn connect(job: &Job) -> Result<Self::Endpoint> {
        let address = std::fs::read_to_string(job.place.join(PORT))?;
        frames(TcpStream::connect(address).await?)
    }

    async fn receive_all(mut self, tally: Arc<Tally>) -> Result<()> {
        loop {
            tokio::spawn(receive::receive(self.accept().await?, Arc::clone(&tally)));
        }
    }
}
