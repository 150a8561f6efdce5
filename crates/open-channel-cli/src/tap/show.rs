//! A message as a line.

use open_channel::inspect::printable;
use serde_json::{Value, json};

use super::seen::Seen;
use crate::framing::text_or_hex;
use crate::members::id;
use crate::quantity;

pub(super) struct Shown {
    pub(super) json: bool,
    /// Bytes of a message at most.
    pub(super) bytes: usize,
}

impl Shown {
    pub(super) fn line(&self, seen: &Seen) -> String {
        if self.json { self.object(seen).to_string() } else { self.text(seen) }
    }

    fn text(&self, seen: &Seen) -> String {
        let pid = match seen.tapped.pid {
            0 => "?".into(),
            pid => pid.to_string(),
        };
        let (from, to) = if seen.tapped.from_host { ("host", &*pid) } else { (&*pid, "host") };
        let mut line = format!("{:12.6}  {from:>7} > {to:<7}", seen.at.as_secs_f64());
        if let Some(described) = &seen.described {
            line += &format!("  {:<9}", described.act.word());
            line += described.name.as_deref().map(printable).unwrap_or_default().as_str();
        }
        if seen.tapped.attempt > 1 {
            line += &format!("  attempt {}", seen.tapped.attempt);
        }
        if seen.described.as_ref().is_some_and(|described| described.payload.is_none()) {
            return line.trim_end().to_owned();
        }
        let cut = &seen.payload[..seen.payload.len().min(self.bytes)];
        let (_, words) = text_or_hex(whole_characters(cut));
        let more = if (cut.len() as u64) < seen.length { "…" } else { "" };
        line + &format!("  {:>8}  {}{more}", quantity::bytes(seen.length as f64), printable(&words))
    }

    fn object(&self, seen: &Seen) -> Value {
        let tapped = &seen.tapped;
        let cut = &seen.payload[..seen.payload.len().min(self.bytes)];
        let (key, words) = text_or_hex(cut);
        let mut object = json!({
            "at": seen.at.as_secs_f64(),
            "direction": seen.direction(),
            "pid": Some(tapped.pid).filter(|&pid| pid != 0),
            "socket": tapped.socket.to_string(),
            "attempt": tapped.attempt,
            "length": seen.length,
        });
        object[key] = words.into();
        if let Some(described) = &seen.described {
            object["act"] = described.act.word().into();
            object["name"] = described.name.clone().into();
            object["member"] = described.other.map(id).into();
        }
        object
    }
}

/// Without the beginning of a character at the end, which a cut leaves there.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::whole_characters;

    #[test]
    fn a_cut_leaves_no_half_of_a_character_and_other_bytes_as_they_are() {
        assert_eq!(whole_characters(&"é€".as_bytes()[..4]), "é".as_bytes());
        assert_eq!(whole_characters(b"\xff\x00"), b"\xff\x00");
        assert_eq!(whole_characters(b"tea"), b"tea");
    }
}
