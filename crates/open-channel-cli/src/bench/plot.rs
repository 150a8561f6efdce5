//! The numbers as a plot.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::results::{Numbers, Row};

const WIDTH: u32 = 900;
/// For each row: two bars.
const ROW: i32 = 56;
const BAR: i32 = 18;
const TOP: i32 = 50;
const LEFT: i32 = 170;
/// Room for the numbers behind the bars.
const RIGHT: i32 = 130;
const FONT: &str = "sans-serif";
const OURS: RGBColor = RGBColor(214, 90, 24);
const PLAIN: RGBColor = RGBColor(96, 125, 160);

/// Two bars for each row; the longer one is the faster.
pub(super) fn draw(rows: &[Row], path: &Path) -> Result<()> {
    let height = TOP as u32 + ROW as u32 * rows.len() as u32 + 10;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    let paint = || -> Result<(), DrawingAreaErrorKind<_>> {
        area.fill(&WHITE)?;
        let title = "open-channel beside a plain socket: the longer, the faster";
        area.draw(&Text::new(title, (10, 12), (FONT, 18)))?;
        for (index, row) in rows.iter().enumerate() {
            let top = TOP + ROW * index as i32;
            area.draw(&Text::new(row.title(), (10, top + 10), (FONT, 15)))?;
            let ratio = row.ratio().unwrap_or(1.0);
            let most = ratio.max(1.0);
            let bar = |top: i32, part: f64, colour: RGBColor, label: String| {
                let room = f64::from(WIDTH as i32 - LEFT - RIGHT);
                let end = LEFT + (room * part / most).max(1.0) as i32;
                let corners = [(LEFT, top), (end, top + BAR)];
                area.draw(&Rectangle::new(corners, colour.filled()))?;
                area.draw(&Text::new(label, (end + 6, top + 2), (FONT, 14)))
            };
            bar(top, ratio, OURS, row.channel.main())?;
            match row.plain.map(Numbers::main) {
                Some(label) => bar(top + BAR + 2, 1.0, PLAIN, label)?,
                None => {
                    let none = "a plain socket has no other host";
                    area.draw(&Text::new(none, (LEFT + 6, top + BAR + 4), (FONT, 14)))?;
                }
            }
        }
        area.present()
    };
    paint().map_err(|error| anyhow!("could not draw {}: {error}", path.display()))
}
