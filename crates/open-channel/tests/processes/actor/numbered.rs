//! The text of messages: a few words, and ballast that can be checked.

use super::report::say;

/// A message of at least `size` bytes: its words, a zero, and ballast that can be checked.
pub(super) fn numbered(number: u64, size: usize) -> Vec<u8> {
    let mut message = format!("n {number}").into_bytes();
    if message.len() < size {
        message.push(0);
        message.extend((message.len()..size).map(|at| ballast(number, at)));
    }
    message
}

fn ballast(number: u64, at: usize) -> u8 {
    let mixed = (number ^ at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed.to_be_bytes()[0]
}

/// The words of a message, up to the ballast.
pub(crate) fn text(message: &[u8]) -> String {
    let head = &message[..message.len().min(60)];
    let words = head.split(|&byte| byte == 0).next().unwrap();
    String::from_utf8_lossy(words).into_owned()
}

/// Reports a message with a byte that is not where it belongs.
pub(super) fn check(text: &str, message: &[u8]) {
    if let Some(number) = text.strip_prefix("n ").and_then(|number| number.parse::<u64>().ok())
        && message != numbered(number, message.len())
    {
        say!("corrupt {text}, {} bytes", message.len());
    }
}
