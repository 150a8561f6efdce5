//! For the tests: prints how the host of each channel in `$OPEN_CHANNEL_DIR` is, a line for each,
//! as `open-channel ls` asks for it.

use std::time::Duration;

use open_channel::inspect;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for found in inspect::channels(None)? {
        match found.ask(1, Duration::from_secs(10)).await {
            Ok(status) => {
                let (host, received) = (&status.host, &status.host.totals.received);
                println!(
                    r#"{{"name":{:?},"app":{:?},"pid":{},"program":{:?},"received":{},"open":{}}}"#,
                    host.name,
                    host.app.as_deref().unwrap_or_default(),
                    host.process.pid,
                    host.process.program,
                    received.messages,
                    received.open,
                );
            }
            Err(unanswered) => println!("{}: {unanswered}", found.label()),
        }
    }
    Ok(())
}
