//! A program that runs once: started again, it hands its arguments to the one that runs.
//!
//! ```text
//! $ cargo run -p open-channel-group --example single_instance -- a.txt
//! this is the only one
//! open a.txt
//! open b.txt c.txt
//!
//! $ cargo run -p open-channel-group --example single_instance -- b.txt c.txt
//! handed over to process 4711
//! ```
//!
//! The lock says which one it is. If that one is killed, its lock is free at once, and the next one
//! that is started is the only one.

use std::convert::Infallible;
use std::time::Duration;

use open_channel_group::{Error, Group};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let files = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let group = Group::join("example-single-instance").await?;
    loop {
        if let Some(only) = group.try_lock("instance").await? {
            println!("this is the only one");
            open(&files);
            serve(&group).await?;
            only.unlock();
            return group.close().await;
        }
        match group.call("open", files.clone()).await {
            Ok(process) => {
                println!("handed over to process {}", String::from_utf8_lossy(&process));
                return group.close().await;
            }
            // It has just begun, or is just gone.
            Err(Error::NoSuchService | Error::Died) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn serve(group: &Group) -> Result<(), Error> {
    let _service = group
        .serve("open", |call| async move {
            open(&String::from_utf8_lossy(&call.payload));
            Ok::<_, Infallible>(std::process::id().to_string())
        })
        .await?;
    let _ = tokio::signal::ctrl_c().await;
    Ok(())
}

fn open(files: &str) {
    println!("open {files}");
}
