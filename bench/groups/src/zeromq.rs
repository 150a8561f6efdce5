//! ZeroMQ: PUB and SUB over ipc, without limits to their queues. A publisher never learns whether
//! anything arrived.

use anyhow::{Result, bail};

use crate::control::{self, Results};
use crate::task::{PACE, Received, Role, Task, message};

pub(crate) fn work(task: &Task) -> Result<Results> {
    let context = zmq::Context::new();
    let address = format!("ipc://{}/news", task.place);
    match task.role {
        Role::Publisher => {
            // As PUB, and it hears of the subscriptions.
            let news = context.socket(zmq::XPUB)?;
            news.set_sndhwm(0)?;
            // Otherwise the second of two equal subscriptions is not told.
            news.set_xpub_verbose(true)?;
            news.bind(&address)?;
            for _ in 0..task.alike {
                news.recv_bytes(0)?;
            }
            control::ready()?;
            for number in 0..task.count {
                if task.is_paced() {
                    std::thread::sleep(PACE);
                }
                news.send(&message(number)[..], 0)?;
            }
            // Sockets and context wait at their end until everything is sent.
            Ok(Results::of(Vec::new()))
        }
        Role::Subscriber => {
            let news = context.socket(zmq::SUB)?;
            news.set_rcvhwm(0)?;
            news.connect(&address)?;
            news.set_subscribe(b"")?;
            control::ready()?;
            let mut received = Received::default();
            while !received.take(&news.recv_bytes(0)?, task)? {}
            Ok(received.results())
        }
        role => bail!("ZeroMQ has no {role:?}"),
    }
}
