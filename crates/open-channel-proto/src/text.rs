//! Text of the other side, on its way into errors and logs that people read in a terminal.

use std::fmt::Write;

/// `text` with everything escaped that a terminal or an editor obeys instead of showing it: control
/// characters, line and paragraph separators, and characters that turn the reading direction.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) {
            // A `String` takes whatever is written to it.
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The longest prefix of `text` that has at most `most` bytes.
pub(crate) fn clip_to(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn is_obeyed(c: char) -> bool {
    let separators = '\u{2028}'..='\u{2029}';
    // Unicode Standard Annex 9: explicit directional formatting characters and implicit marks.
    let directions = ['\u{61c}', '\u{200e}', '\u{200f}'];
    let overrides = ('\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}');
    c.is_control()
        || separators.contains(&c)
        || directions.contains(&c)
        || overrides.0.contains(&c)
        || overrides.1.contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_all_else_is_kept() {
        let obeyed = "\u{1b}[2J\u{7}\r\n\t\0\u{7f}\u{9b}31m\u{202e}txt\u{2066}\u{200f}\u{2028}";
        let shown = printable(obeyed);
        let escaped =
            r"\u{1b}[2J\u{7}\r\n\t\u{0}\u{7f}\u{9b}31m\u{202e}txt\u{2066}\u{200f}\u{2028}";
        assert_eq!(shown, escaped);
        let plain = "it's \"full\" \\ 満員 🦀 é e\u{301} שלום";
        assert_eq!(printable(plain), plain);
    }
}
