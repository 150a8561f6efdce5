//! A command for each connection, with the connection as its standard input and output.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use open_channel::Socket;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use crate::framing::Framing;
use crate::output;

/// Time for a command to end after its connection did.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is run, and how it is talked to.
#[derive(Debug, Clone)]
pub(crate) struct Exec {
    pub(crate) command: String,
    pub(crate) framing: Framing,
    pub(crate) channel: String,
}

impl Exec {
    /// The listener: runs the command once, for this connection.
    pub(crate) async fn serve(self: Arc<Self>, socket: Socket) {
        if let Err(error) = self.run(&socket).await {
            output::say(format_args!("{error:#}"));
            socket.destroy();
        }
    }

    async fn run(&self, socket: &Socket) -> Result<()> {
        let (answers, stdout) = std::io::pipe().context("could not make a pipe")?;
        let mut child = self.spawn(socket, stdout.into())?;
        let stdin = child.stdin.take().context("a command without standard input")?;
        let ended = async {
            let mut answers = self.framing.read(answers);
            while let Some(answer) = answers.recv().await {
                let answer = answer.with_context(|| format!("the output of {:?}", self.command))?;
                // Read on if nobody takes it: the command is not to die of a closed pipe.
                let _ = socket.send(answer).await;
            }
            self.end(&mut child).await
        };
        let mut ended = std::pin::pin!(ended);
        let status = tokio::select! {
            status = &mut ended => status?,
            () = self.feed(socket, stdin) => {
                // Its input is at its end, which is what it waits for.
                if socket.connected() { (&mut ended).await? } else {
                    timeout(PATIENCE, &mut ended).await.context("its connection is over")??
                }
            }
        };
        anyhow::ensure!(status.success(), "{:?} ended with {status}", self.command);
        // Of a peer that is gone, or goes to the next host, nothing more is to be known.
        let _ = socket.close().await;
        Ok(())
    }

    fn spawn(&self, socket: &Socket, stdout: Stdio) -> Result<Child> {
        let peer = socket.peer().and_then(|peer| peer.process_id());
        Command::new("sh")
            .args(["-c", &self.command])
            .env("OPEN_CHANNEL_NAME", &self.channel)
            .env("OPEN_CHANNEL_GENERATION", socket.generation().to_string())
            .env("OPEN_CHANNEL_PEER_PID", peer.map_or_else(String::new, |pid| pid.to_string()))
            .stdin(Stdio::piped())
            .stdout(stdout)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("could not run {:?}", self.command))
    }

    /// Passes messages on until the other side has sent its last, or the command takes no more.
    async fn feed(&self, socket: &Socket, mut stdin: ChildStdin) {
        while let Ok(Some(message)) = socket.recv().await {
            if stdin.write_all(&self.framing.encode(&message)).await.is_err() {
                // What it has not read is not handled.
                return std::future::pending().await;
            }
            message.ack();
        }
    }

    async fn end(&self, child: &mut Child) -> Result<ExitStatus> {
        child.wait().await.with_context(|| format!("could not wait for {:?}", self.command))
    }
}
