//! `docs/GROUP.md` names tests that exist.

use std::path::Path;

#[test]
fn every_test_that_is_named_exists() -> std::io::Result<()> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(package.join("../../docs/GROUP.md"))?;
    let mut named = 0;
    for (file, test) in text.split('`').filter_map(|word| word.split_once(".rs::")) {
        let source = package.join("tests/processes").join(format!("{file}.rs"));
        let source = std::fs::read_to_string(source)?;
        assert!(source.contains(&format!("fn {test}(")), "{file} has no test {test}");
        named += 1;
    }
    assert!(named > 20, "only {named} tests are named");
    Ok(())
}
