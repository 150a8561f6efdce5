//! The keys, as htop has them.

use std::time::Instant;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Model, Place, SORTS};

/// Rows that PgUp and PgDn move by.
const PAGE: usize = 10;

/// What is to be done after a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    GoOn,
    /// Something else is to be shown than the last survey has.
    LookNow,
    End,
    Interrupt,
}

pub(super) fn press(model: &mut Model, key: KeyEvent) -> Outcome {
    if key.kind == KeyEventKind::Release {
        return Outcome::GoOn;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return Outcome::Interrupt;
    }
    if model.place.help {
        // Any key closes it.
        model.place.help = false;
        return Outcome::GoOn;
    }
    if model.place.typing {
        type_filter(&mut model.place, key.code);
        return Outcome::GoOn;
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::F(10) => return Outcome::End,
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => model.place.help = true,
        KeyCode::Char('/' | '\\') | KeyCode::F(3 | 4) => model.place.typing = true,
        KeyCode::Char('>') | KeyCode::F(6) => turn_sort(&mut model.place, 1),
        KeyCode::Char('<') => turn_sort(&mut model.place, SORTS.len() - 1),
        KeyCode::Char('I') => model.place.inverted = !model.place.inverted,
        KeyCode::Char('Z' | 'z' | ' ') => {
            model.stopped_at = model.stopped_at.is_none().then(Instant::now);
        }
        KeyCode::Enter | KeyCode::Right => return open(model),
        KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => close(model),
        code => walk(model, code),
    }
    Outcome::GoOn
}

fn type_filter(place: &mut Place, code: KeyCode) {
    match code {
        KeyCode::Char(letter) => place.filter.push(letter),
        KeyCode::Backspace => drop(place.filter.pop()),
        KeyCode::Esc => {
            place.filter.clear();
            place.typing = false;
        }
        KeyCode::Enter => place.typing = false,
        _ => {}
    }
    place.row = 0;
}

fn turn_sort(place: &mut Place, by: usize) {
    place.sort = (place.sort + by) % SORTS.len();
}

fn open(model: &mut Model) -> Outcome {
    if model.place.opened.is_some() {
        return Outcome::GoOn;
    }
    let label = model.shown().get(model.place.row).map(|row| row.found.label().to_owned());
    let Some(label) = label else { return Outcome::GoOn };
    model.socket_rates.clear();
    model.place.opened = Some(label);
    model.place.row = 0;
    Outcome::LookNow
}

/// Back to the list, to the row that was opened; or to all rows.
fn close(model: &mut Model) {
    match model.place.opened.take() {
        Some(label) => {
            let row = model.shown().iter().position(|row| row.found.label() == label);
            model.place.row = row.unwrap_or(0);
        }
        None => model.place.filter.clear(),
    }
}

fn walk(model: &mut Model, code: KeyCode) {
    let last = model.rows().saturating_sub(1);
    let row = model.place.row;
    model.place.row = match code {
        KeyCode::Up | KeyCode::Char('k') => row.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => row + 1,
        KeyCode::PageUp => row.saturating_sub(PAGE),
        KeyCode::PageDown => row + PAGE,
        KeyCode::Home => 0,
        KeyCode::End => last,
        _ => row,
    }
    .min(last);
}
