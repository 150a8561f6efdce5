//! libzmq: DEALER sockets over ipc://, with its default high-water marks.

use crate::job::Job;
use crate::payload::Payload;
use crate::transport::{Endpoint, Runtime, Transport};
use anyhow::{Context as _, Result};
use std::sync::OnceLock;

pub(crate) struct Zeromq {
    socket: Option<zmq::Socket>,
}

fn socket(job: &Job) -> Result<(zmq::Socket, String)> {
    static CONTEXT: OnceLock<zmq::Context> = OnceLock::new();
    let context = CONTEXT.get_or_init(zmq::Context::new);
    let address = format!("ipc://{}", job.place.join("socket").display());
    Ok((context.socket(zmq::DEALER)?, address))
}

impl Transport for Zeromq {
    type Endpoint = zmq::Socket;
    const RUNTIME: Runtime = Runtime::Blocking;

    async fn host(job: &Job) -> Result<Self> {
        let (socket, address) = socket(job)?;
        socket.bind(&address)?;
        Ok(Zeromq { socket: Some(socket) })
    }

    async fn accept(&mut self) -> Result<zmq::Socket> {
        self.socket.take().context("one socket hears every peer")
    }

    async fn connect(job: &Job) -> Result<zmq::Socket> {
        let (socket, address) = socket(job)?;
        socket.connect(&address)?;
        Ok(socket)
    }
}

impl Endpoint for zmq::Socket {
    async fn send(&mut self, payload: Payload) -> Result<()> {
        let mut message = zmq::Message::with_size(payload.len);
        payload.write(&mut message);
        Ok(zmq::Socket::send(self, message, 0)?)
    }

    async fn recv(&mut self) -> Result<Payload> {
        Payload::check(&self.recv_msg(0)?)
    }
}
