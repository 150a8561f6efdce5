//! `bench` measures, and leaves nothing behind.

use serde_json::Value;

use crate::program::Place;

#[test]
fn everything_is_measured_over_a_channel_and_over_a_plain_socket() {
    let place = Place::new();
    let plot = place.path().join("plot.svg");
    let svg = plot.to_str().expect("UTF-8");
    let text = place.start(&["bench", "--seconds", "0.02", "--json", "--svg", svg]).succeed();
    let all: Value = serde_json::from_str(&text).expect("JSON");
    let rows = all["results"].as_array().expect("rows");
    let measures: Vec<_> =
        rows.iter().map(|row| row["measure"].as_str().expect("a word")).collect();
    let rates = ["rate"; 3];
    let expected = [&["round-trip"; 2][..], &rates, &["connect", "fan-out", "failover"]].concat();
    assert_eq!(measures, expected, "{text}");
    for row in rows {
        let numbers = |of: &str| row[of].as_object().map(|numbers| numbers.values().cloned());
        let ours: Vec<Value> = numbers("open_channel").expect("numbers").collect();
        assert!(ours.iter().all(|number| number.as_f64() > Some(0.0)), "{row}");
        let has_plain = row["measure"] != "failover";
        assert_eq!(
            (numbers("plain_socket").is_some(), row["ratio"].is_f64()),
            (has_plain, has_plain)
        );
    }
    let drawn = std::fs::read_to_string(plot).expect("a plot");
    assert!(drawn.contains("<svg") && drawn.contains("round-trip, 64 B"), "{drawn}");
    assert_eq!(place.left_behind(), [""; 0]);
}

#[test]
fn one_thing_alone_is_a_table_with_one_line() {
    let place = Place::new();
    let table = place.start(&["bench", "--only", "connect", "--seconds", "0.01"]).succeed();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines[0].starts_with("MEASURE  OPEN-CHANNEL  P99"), "{table}");
    assert!(lines[1].starts_with("connect"), "{table}");
    let error = place.start(&[
        "bench",
        "--only",
        "connect",
        "--seconds",
        "0.01",
        "--svg",
        "/nowhere/x.svg",
    ]);
    assert!(error.fail().contains("could not draw /nowhere/x.svg"));
}
