//! A job queue: whoever has room takes the next job, and none is lost when its worker is killed.
//!
//! In any number of terminals `work`, in another one `push`:
//!
//! ```text
//! $ cargo run -p open-channel-group --example jobs -- work
//! thumbnail of 1.jpg, attempt 1
//! thumbnail of 3.jpg, attempt 1
//!
//! $ cargo run -p open-channel-group --example jobs -- push 1.jpg 2.jpg 3.jpg
//! 1.jpg is done
//! 2.jpg is done
//! 3.jpg is done
//! ```
//!
//! A job lives in the process that pushed it, which waits until it is done. A worker that is killed
//! gives its jobs to others, who see that it is the second attempt.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::time::Duration;

use futures::future::try_join_all;
use open_channel_group::{Error, Group};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let group = Group::join("example-jobs").await?;
    let thumbnails = group.queue("thumbnails")?;
    if arguments.next().as_deref() == Some("push") {
        let pushed = arguments.map(|image| {
            let thumbnails = &thumbnails;
            async move {
                thumbnails.push(image.clone()).await?;
                println!("{image} is done");
                Ok::<_, Error>(())
            }
        });
        try_join_all(pushed).await?;
    } else {
        let two = NonZeroU32::new(2).expect("two is not zero");
        let worker = thumbnails.process(two, |task| async move {
            let image = String::from_utf8_lossy(&task.payload).into_owned();
            println!("thumbnail of {image}, attempt {}", task.attempt);
            tokio::time::sleep(Duration::from_millis(200)).await; // the work
            Ok::<_, Infallible>(())
        });
        let _worker = worker.await?;
        let _ = tokio::signal::ctrl_c().await;
    }
    group.close().await
}
