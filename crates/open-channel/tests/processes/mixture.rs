//! Numbered messages of all sizes with known bytes, from empty ones to several times a part of a
//! ring.

use std::io::Read;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use open_channel::{Batch, Error, Message, MessageReader, Messages, Socket};

use crate::actor::numbered::text;
use crate::actor::report::say;
use crate::whereabouts::{at_work, wait, work};

/// Longer than the longest message.
const PATTERN: usize = 1 << 19;
/// The longest ballast, in bytes.
const LONGEST: u64 = 300_000;
/// A mix asks for acknowledgement of everything after this many messages.
const FLUSH_EVERY: u64 = 50;
/// Messages in a batch.
const MOST_TOGETHER: u64 = 12;
const PAUSE: Duration = Duration::from_millis(1);

/// Message `number` of a direction; every sixteenth or so is empty.
pub(crate) fn message(number: u64) -> Vec<u8> {
    let Some(size) = ballast_of(number) else { return Vec::new() };
    let mut message = format!("n {number} {size}\0").into_bytes();
    message.extend_from_slice(ballast(number, size));
    message
}

/// The words of a message that may be empty, of which only the sequence number is known.
pub(crate) fn words(seq: u64) -> String {
    match ballast_of(seq) {
        Some(size) => format!("n {seq} {size}"),
        None => format!("n {seq} empty"),
    }
}

/// Whether these are all the bytes of message `number`, and no others.
pub(crate) fn is_whole(number: u64, message: &[u8]) -> bool {
    message == self::message(number)
}

/// Length of the ballast; `None` for a message without a byte.
fn ballast_of(number: u64) -> Option<usize> {
    let random = mix(number);
    let most = match random % 16 {
        0 => return None,
        1..=9 => 200,
        10..=12 => 4_000,
        13 | 14 => 40_000,
        _ => LONGEST,
    };
    Some(usize::try_from((random >> 16) % most).unwrap())
}

/// A piece of the pattern with another begin for each number, so that no other message's bytes
/// match.
fn ballast(number: u64, size: usize) -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let pattern =
        BYTES.get_or_init(|| (0..PATTERN as u64 / 8).flat_map(|n| mix(n).to_le_bytes()).collect());
    let start =
        usize::try_from(mix(!number)).unwrap() % (PATTERN - usize::try_from(LONGEST).unwrap());
    &pattern[start..start + size]
}

fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Sends the mixture until it is stopped, and checks the answers: each handled message comes back.
pub(crate) async fn send_and_check(name: String, socket: Arc<Socket>, stop: Arc<AtomicBool>) {
    tokio::spawn(check_answers(name.clone(), Arc::clone(&socket)));
    let (mut accepted, mut flushed) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        match send_some(&socket, accepted + 1).await {
            Ok(count) => accepted += count,
            Err(error) => return say!("error mix {name} {error}"),
        }
        if accepted - flushed >= FLUSH_EVERY {
            flushed = accepted;
            if let Err(error) = wait(socket.flush()).await {
                return say!("error mix {name} {error}");
            }
            say!("flushed {name} {accepted}");
            // Others start processes meanwhile, and all of this is checked in the end.
            tokio::time::sleep(PAUSE).await;
        }
    }
    match socket.flush().await {
        Ok(()) => say!("streamed {name} {accepted}"),
        Err(error) => say!("error mix {name} {error}"),
    }
}

/// One message, written in place, copied or given away, or a batch of some.
async fn send_some(socket: &Socket, first: u64) -> Result<u64, Error> {
    let count = mix(!first) % (2 * MOST_TOGETHER);
    if count >= MOST_TOGETHER {
        let message = message(first);
        let id = match count % 3 {
            0 => {
                let mut reservation = work(socket.reserve(message.len())).await?;
                at_work(|| reservation.append(&message));
                at_work(|| reservation.commit())?
            }
            1 => work(socket.send_copy(&message)).await?,
            _ => work(socket.send(message)).await?,
        };
        assert_eq!(id.seq, first);
        return Ok(1);
    }
    let mut batch: Batch = (first..=first + count).map(message).collect();
    work(socket.send_many(&mut batch)).await?;
    Ok(count + 1)
}

/// Answers each message with the same bytes, which are on the way before the acknowledgement.
pub(crate) async fn answer_all(socket: &Socket) {
    let id = socket.id();
    for round in 0.. {
        let received = match mix(round) % 3 {
            0 => wait(socket.recv()).await.map(|message| message.map(Received::One)),
            1 => wait(socket.recv_many()).await.map(|messages| messages.map(Received::Many)),
            _ => wait(socket.recv_reader()).await.map(|message| message.map(Received::Reader)),
        };
        match received {
            Ok(Some(Received::One(message))) => {
                answer(socket, message.id().seq, message.redelivered(), &message).await;
                at_work(|| message.ack());
            }
            Ok(Some(Received::Many(messages))) => {
                for message in &messages {
                    answer(socket, message.id().seq, messages.redelivered(), &message).await;
                }
                at_work(|| messages.ack());
            }
            Ok(Some(Received::Reader(mut message))) => {
                let bytes = read_in_pieces(&mut message);
                answer(socket, message.id().seq, message.redelivered(), &bytes).await;
                at_work(|| message.ack());
            }
            Ok(None) => return say!("ended {id}"),
            Err(error) => return say!("failed {id} {error}"),
        }
    }
}

/// The rest of it, in pieces of odd lengths.
fn read_in_pieces(message: &mut MessageReader) -> Vec<u8> {
    let mut bytes = vec![0; message.remaining()];
    for piece in bytes.chunks_mut(997) {
        at_work(|| message.read_exact(piece)).unwrap();
    }
    assert_eq!(message.remaining(), 0);
    bytes
}

enum Received {
    One(Message),
    Many(Messages),
    Reader(MessageReader),
}

pub(crate) async fn answer(socket: &Socket, seq: u64, redelivered: bool, message: &[u8]) {
    let (id, text) = (socket.id(), words(seq));
    if !is_whole(seq, message) {
        say!("corrupt {text}, {} bytes", message.len());
    }
    say!("handled {} {id} {seq} {redelivered} {} {text}", socket.generation(), message.len());
    let answer = self::message(seq);
    if let Err(error) = work(socket.send(answer)).await {
        say!("error answer {id} {error}");
    }
}

/// Answers follow each other in order. Only a change of host may skip some, or begin again further
/// back.
async fn check_answers(name: String, socket: Arc<Socket>) {
    let mut heard = 0;
    // The message that was answered last, if that is known.
    let mut last = Some(0);
    loop {
        let answer = match wait(socket.recv()).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return say!("end {name}"),
            Err(error) => return say!("error recv {name} {error}"),
        };
        heard += 1;
        if answer.id().seq != heard {
            say!("disorder {name}: answer {} came as number {heard}", answer.id().seq);
        }
        let due = last.map(|last| last + 1);
        let number = if answer.is_empty() {
            // An empty answer has no number: it is the next one.
            due.filter(|&due| is_whole(due, &answer))
        } else {
            text(&answer).split(' ').nth(1).and_then(|number| number.parse().ok())
        };
        if !answer.is_empty() && !number.is_some_and(|number| is_whole(number, &answer)) {
            say!("corrupt answer {number:?}, {} bytes", answer.len());
        }
        if due.is_some() && number != due {
            say!("jump {name} from {last:?} to {number:?}");
        }
        last = number;
        at_work(|| answer.ack());
        if heard == 1 {
            say!("mixing {name}");
        }
    }
}
