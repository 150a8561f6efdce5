//! The names of programs, for people.

use std::path::Path;

use super::refined;

/// Programs that run another one, which their first argument names.
const RUNNERS: [&str; 10] =
    ["node", "nodejs", "bun", "deno", "python", "python3", "ruby", "perl", "sh", "bash"];

/// The name of the program that process `pid` runs, with that of its script if it runs one. `None`
/// where that cannot be known.
pub(crate) fn program_name(pid: u32) -> Option<String> {
    refined::command_line(pid).and_then(|line| of_command_line(&line)).or_else(|| {
        let own = (pid == std::process::id()).then(std::env::current_exe)?.ok()?;
        Some(base_name(&own.to_string_lossy()).to_owned())
    })
}

/// The words end with a zero byte each.
fn of_command_line(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split('\0').map(str::trim);
    let program = base_name(words.next().filter(|word| !word.is_empty())?);
    if !RUNNERS.contains(&program) {
        return Some(program.to_owned());
    }
    let script = words.find(|word| !word.is_empty() && !word.starts_with('-'));
    Some(script.map_or_else(|| program.into(), |path| format!("{program} {}", base_name(path))))
}

fn base_name(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_named_behind_the_program_that_runs_it() {
        for (line, name) in [
            (&b"/usr/bin/node\0--inspect\0/srv/shop/worker.js\0--fast\0"[..], "node worker.js"),
            (b"node\0", "node"),
            (b"/usr/local/bin/postgres\0-D\0/data\0", "postgres"),
            (b"PM2 v5: God Daemon (/root/.pm2)   \0\0", ".pm2)"),
            (b"./job\xff\0x\0", "job\u{fffd}"),
        ] {
            assert_eq!(of_command_line(line).as_deref(), Some(name));
        }
        assert_eq!(of_command_line(b""), None);
        assert_eq!(of_command_line(b"\0\0"), None);
    }

    #[test]
    fn this_process_has_a_name_and_one_that_is_gone_has_none() {
        assert!(program_name(std::process::id()).is_some_and(|name| !name.is_empty()));
        assert_eq!(program_name(u32::MAX), None);
    }
}
