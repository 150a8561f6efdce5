//! CMD for each message, several at a time.

use std::io::Write;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::task::block_in_place;
use tokio::time::timeout;

use super::command::Running;
use crate::framing::LONGEST;

/// Time for CMD to end after nobody needs it any more.
const GRACE: Duration = Duration::from_secs(2);
/// More of the last line of its errors is not passed on.
const LONGEST_REASON: usize = 1024;

/// What came of a CMD.
pub(super) struct Outcome {
    pub(super) status: ExitStatus,
    pub(super) answer: Vec<u8>,
    /// The last line of its errors.
    pub(super) last_error: String,
}

impl Running {
    /// Gives CMD its input, and waits for the end of its output and its own; nothing if `cancelled`
    /// comes before, and CMD was stopped.
    pub(super) async fn handle(
        &mut self,
        input: &[u8],
        cancelled: impl Future<Output = ()>,
    ) -> Result<Option<Outcome>> {
        let mut cancelled = pin!(cancelled);
        let mut converse = pin!(converse(&mut self.child, input));
        let conversed = tokio::select! {
            conversed = &mut converse => Some(conversed),
            () = &mut cancelled => None,
        };
        let Some(conversed) = conversed else {
            self.signal(15);
            // Until then it may go on to write.
            let _ = timeout(GRACE, converse).await;
            self.end_within(GRACE).await?;
            return Ok(None);
        };
        let ((), answer, last_error) = match conversed {
            Ok(conversed) => conversed,
            Err(error) => {
                self.stop(GRACE).await?;
                return Err(error);
            }
        };
        let status = tokio::select! {
            status = self.wait() => Some(status?),
            () = cancelled => None,
        };
        match status {
            Some(status) => Ok(Some(Outcome { status, answer, last_error })),
            None => self.stop(GRACE).await.map(|_| None),
        }
    }
}

type Conversation = ((), Vec<u8>, String);

/// All that goes through CMD's pipes.
fn converse<'a>(
    child: &mut Child,
    input: &'a [u8],
) -> impl Future<Output = Result<Conversation>> + use<'a> {
    let stdin = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let feed = async move {
        if let Some(mut stdin) = stdin {
            // It need not read all of it.
            let _ = stdin.write_all(input).await;
        }
        Ok(())
    };
    async move { tokio::try_join!(feed, read_answer(stdout), pass_errors(stderr)) }
}

async fn read_answer(stdout: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>> {
    let mut answer = Vec::new();
    if let Some(stdout) = stdout {
        stdout.take(LONGEST as u64 + 1).read_to_end(&mut answer).await?;
    }
    if answer.len() > LONGEST {
        bail!("the answer of the command is longer than {LONGEST} bytes");
    }
    Ok(answer)
}

/// Writes the errors on, and returns the last line of them.
async fn pass_errors(stderr: Option<impl AsyncRead + Unpin>) -> Result<String> {
    let Some(mut stderr) = stderr else { return Ok(String::new()) };
    let mut last = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stderr.read(&mut buffer).await?;
        if read == 0 {
            return Ok(last_line(&last));
        }
        // Nobody may read them.
        let _ = block_in_place(|| std::io::stderr().write_all(&buffer[..read]));
        last.extend_from_slice(&buffer[..read]);
        let excess = last.len().saturating_sub(2 * LONGEST_REASON);
        last.drain(..excess);
    }
}

fn last_line(errors: &[u8]) -> String {
    let text = String::from_utf8_lossy(errors);
    let line = text.trim_end().lines().next_back().unwrap_or_default();
    line.chars().take(LONGEST_REASON).collect()
}
