//! servo's ipc-channel: a pair of its bytes channels, handed over through a one-shot server.

use crate::job::Job;
use crate::payload::Payload;
use crate::transport::{Endpoint, Runtime, Transport};
use anyhow::{Context, Result};
use ipc_channel::ipc::{
    IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender, bytes_channel,
};
use std::fs;

type Ends = (IpcBytesSender, IpcBytesReceiver);

pub(crate) struct IpcChannel {
    server: Option<IpcOneShotServer<Ends>>,
}

pub(crate) struct Pair {
    sender: IpcBytesSender,
    receiver: IpcBytesReceiver,
    outgoing: Vec<u8>,
}

impl Pair {
    fn new((sender, receiver): Ends) -> Pair {
        Pair { sender, receiver, outgoing: Vec::new() }
    }
}

impl Transport for IpcChannel {
    type Endpoint = Pair;
    const RUNTIME: Runtime = Runtime::Blocking;

    async fn host(job: &Job) -> Result<Self> {
        let (server, name) = IpcOneShotServer::new()?;
        fs::write(job.place.join("name"), name)?;
        Ok(IpcChannel { server: Some(server) })
    }

    async fn accept(&mut self) -> Result<Pair> {
        let server = self.server.take().context("a one-shot server accepts once")?;
        let (_receiver, ends) = server.accept()?;
        Ok(Pair::new(ends))
    }

    async fn connect(job: &Job) -> Result<Pair> {
        let bootstrap = IpcSender::connect(fs::read_to_string(job.place.join("name"))?)?;
        let (to_host, at_host) = bytes_channel()?;
        let (to_peer, at_peer) = bytes_channel()?;
        bootstrap.send((to_peer, at_host))?;
        Ok(Pair::new((to_host, at_peer)))
    }
}

impl Endpoint for Pair {
    async fn send(&mut self, payload: Payload) -> Result<()> {
        self.outgoing.resize(payload.len, 0);
        payload.write(&mut self.outgoing);
        Ok(self.sender.send(&self.outgoing)?)
    }

    async fn recv(&mut self) -> Result<Payload> {
        Payload::check(&self.receiver.recv()?)
    }
}
