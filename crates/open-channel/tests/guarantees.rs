//! Every promise in `docs/GUARANTEES.md` names tests that exist.

use std::path::Path;

#[test]
fn every_promise_names_tests_that_exist() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.join("../..");
    let text = std::fs::read_to_string(root.join("docs/GUARANTEES.md")).expect("the guarantees");
    let mut named = 0;
    for (file, test) in text.split('`').filter_map(|word| word.split_once(".rs::")) {
        let file = format!("{file}.rs");
        let base = if file.starts_with("crates/") { &root } else { &package.join("tests") };
        let source = std::fs::read_to_string(base.join(&file)).expect(&file);
        assert!(source.contains(&format!("fn {test}(")), "{file} has no test {test}");
        named += 1;
    }
    // A test of Node's is a sentence. It may be broken into lines here, and go on with its cases
    // there.
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = one_line(&text);
    for (file, test) in text.split('`').filter_map(|word| word.split_once(".test.js::")) {
        let source = std::fs::read_to_string(root.join(format!("{file}.test.js"))).expect(file);
        let source = one_line(&source).replace("test( ", "test(");
        let begins = |quote| source.contains(&format!("test({quote}{test}"));
        assert!(begins('"') || begins('`'), "{file} has no test {test:?}");
        named += 1;
    }
    assert!(named > 70, "only {named} tests are named");
}

/// The table of defaults has the values of the constants.
#[test]
fn the_table_of_limits_is_true() {
    use open_channel::*;
    assert_eq!(DEFAULT_CONNECT_TIMEOUT.as_secs(), 5);
    assert_eq!(DEFAULT_HOST_TIMEOUT.as_secs(), 3);
    assert_eq!(DEFAULT_RESUME_TIMEOUT.as_secs(), 10);
    assert_eq!(DEFAULT_STALL_AFTER.as_secs(), 10);
    assert_eq!((DEFAULT_OUTBOX_BYTES, DEFAULT_RECEIVE_WINDOW), (4 << 20, 4 << 20));
    assert_eq!((DEFAULT_RING_BYTES, DEFAULT_RING_MEMORY), (8 << 20, 1 << 30));
    assert_eq!((DEFAULT_MAX_MESSAGE, DEFAULT_MAX_CONNECTIONS), (64 << 20, 4096));
    assert_eq!((MAX_NAME, MESSAGE_OVERHEAD, Events::BACKLOG), (255, 64, 256));
}
