//! A socket of the channel itself: what a call of a group costs at the least.

use anyhow::{Context, Result, bail};
use open_channel::Channel;

use crate::control::{self, Results};
use crate::task::{Role, Task, message, read};

pub(crate) async fn work(task: &Task) -> Result<Results> {
    let channel = Channel::builder("bench").runtime_dir(&task.place);
    match task.role {
        Role::Server => {
            let channel = channel.build(|socket| async move {
                while let Ok(Some(message)) = socket.recv().await {
                    let sent = socket.send_copy(&message).await;
                    message.ack();
                    if sent.is_err() {
                        return;
                    }
                }
            })?;
            channel.join().await?;
            tokio::task::spawn_blocking(control::ready).await??;
            std::future::pending().await
        }
        Role::Caller => {
            let socket = channel.build_peer()?.connect();
            control::ready()?;
            let mut times = Vec::new();
            for number in 0..task.count {
                let begin = control::now();
                socket.send_copy(&message(number)).await?;
                let answer = socket.recv().await?.context("the other side ended")?;
                times.push((control::now() - begin).try_into().unwrap_or(u32::MAX));
                if read(&answer)?.0 != number {
                    bail!("another answer");
                }
                answer.ack();
            }
            Ok(Results::of(times))
        }
        role => bail!("a channel alone has no {role:?}"),
    }
}
