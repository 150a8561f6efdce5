//! The report for a reader: tables on the terminal, and the same in a directory with plots.

mod plots;
mod tables;
mod targets;

use crate::plan::Plan;
use crate::results::Results;
use anyhow::{Context, Result};
use comfy_table::presets::UTF8_BORDERS_ONLY;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

pub(crate) fn print(plan: &Plan, results: &Results) {
    println!("{}; {}", machine(), plan.conditions());
    for link in results.links() {
        println!("{link}");
    }
    for section in tables::sections(plan, results) {
        let mut table = comfy_table::Table::new();
        table.load_style(UTF8_BORDERS_ONLY).set_header(section.header);
        table.add_rows(section.rows);
        println!("\n{}\n{table}", section.title);
    }
    for caveat in results.caveats() {
        println!("{caveat}");
    }
    for failure in results.failures() {
        println!("FAILED {failure}");
    }
}

/// Writes README.md, the plots that it shows, and every sample.
pub(crate) fn write(plan: &Plan, results: &Results, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let mut text = String::from("# Measured\n\n");
    writeln!(text, "{}; {}.\n", machine(), plan.conditions())?;
    text.push_str(INTRODUCTION);
    let links: Vec<String> = results.links().collect();
    if !links.is_empty() {
        writeln!(text, "\nLinks in use: {}.", links.join("; "))?;
    }
    for caveat in results.caveats() {
        writeln!(text, "\n{caveat}")?;
    }
    for section in tables::sections(plan, results) {
        writeln!(text, "\n## {}\n", section.title)?;
        if let Some(measure) = section.measure {
            for plot in plots::draw(plan, measure, results, directory)? {
                writeln!(text, "![{}]({plot})\n", section.title)?;
            }
        }
        writeln!(text, "| {} |", section.header.join(" | "))?;
        writeln!(text, "|{}", " --- |".repeat(section.header.len()))?;
        for row in section.rows {
            writeln!(text, "| {} |", row.join(" | "))?;
        }
    }
    if !results.failures().is_empty() {
        text.push_str("\n## Failed\n\n");
        for failure in results.failures() {
            writeln!(text, "- {failure}")?;
        }
    }
    fs::write(directory.join("README.md"), text)?;
    fs::write(directory.join("samples.json"), serde_json::to_vec_pretty(results)?)?;
    Ok(())
}

const INTRODUCTION: &str = "\
Medians over the rounds. The number in brackets is the ratio to the plain tokio Unix socket of the same run
(`tokio`, and `tokio-buffered` for rates): of times and sizes less is better, of rates more. How these numbers
are made: [bench/README.md](../README.md). All samples: `samples.json`.
";

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.map_or("an unknown processor", |line| line.trim_start_matches([' ', '\t', ':']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} cores of {model}, Linux {}", crate::clock::cores(), kernel.trim())
}
