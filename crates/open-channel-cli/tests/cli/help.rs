//! Help, man pages and completions have one source, and lead a newcomer on.

use crate::program::Place;

/// As the program calls itself in its help.
const PROGRAM: &str = if cfg!(windows) { "open-channel.exe" } else { "open-channel" };

const COMMANDS: [&str; 20] = [
    "demo",
    "join",
    "send",
    "ls",
    "top",
    "tap",
    "record",
    "replay",
    "doctor",
    "lock",
    "lead",
    "pub",
    "sub",
    "call",
    "serve",
    "queue",
    "map",
    "bench",
    "completions",
    "man",
];

/// Commands of a command.
const INNER: [[&str; 2]; 8] = [
    ["queue", "push"],
    ["queue", "work"],
    ["map", "get"],
    ["map", "set"],
    ["map", "delete"],
    ["map", "incr"],
    ["map", "watch"],
    ["map", "ls"],
];

#[test]
fn the_first_screen_has_the_three_commands_to_begin_with() {
    let place = Place::new();
    for args in [&["--help"][..], &["-h"], &["help"]] {
        let help = place.start(args).succeed();
        let screen: Vec<&str> = help.lines().take(24).collect();
        for begin in ["open-channel demo ", "open-channel join tea-room ", "open-channel doctor "] {
            assert!(screen.iter().any(|line| line.trim().starts_with(begin)), "{help}");
        }
        assert!(help.contains("Exit status:"), "{help}");
    }
    // Without a command, it is an error that shows the same.
    let (status, _, errors) = place.start(&[]).finish();
    assert_eq!(status.code(), Some(2));
    assert!(errors.contains("open-channel demo"), "{errors}");
}

#[test]
fn each_command_and_option_has_words() {
    let place = Place::new();
    let help = place.start(&["--help"]).succeed();
    for command in COMMANDS {
        let words = help.lines().find_map(|line| line.trim().strip_prefix(command));
        assert!(words.is_some_and(|words| words.trim().len() > 20), "{command} in\n{help}");
        let own = place.start(&[command, "--help"]).succeed();
        assert!(own.contains("Usage: open-channel"), "{own}");
        assert!(own.lines().all(|line| line.chars().count() <= 100), "too wide:\n{own}");
    }
    for [outer, inner] in INNER {
        let own = place.start(&[outer, inner, "--help"]).succeed();
        assert!(own.contains(&format!("Usage: {PROGRAM} {outer} {inner}")), "{own}");
        assert!(own.lines().all(|line| line.chars().count() <= 100), "too wide:\n{own}");
    }
    for hidden in ["demo-worker", "bench-worker", "tied-command"] {
        assert!(!help.contains(hidden), "{help}");
    }
}

#[test]
fn each_command_has_a_man_page_with_its_options() {
    let place = Place::new();
    let dir = place.path().join("man");
    std::fs::create_dir(&dir).expect("a directory");
    place.start(&["man", "--to", dir.to_str().expect("UTF-8")]).succeed();
    let page = |name: &str| std::fs::read_to_string(dir.join(name)).expect(name);
    for command in COMMANDS {
        page(&format!("open-channel-{command}.1"));
    }
    for [outer, inner] in INNER {
        page(&format!("open-channel-{outer}-{inner}.1"));
    }
    let pages = std::fs::read_dir(&dir).expect("the directory").count();
    assert_eq!(pages, COMMANDS.len() + INNER.len() + 1, "a hidden command has a page");
    let main = place.start(&["man"]).succeed();
    assert!(main.contains(".TH open-channel 1") && main.contains("SUBCOMMANDS"), "{main}");
    let join = page("open-channel-join.1");
    for option in ["\\-\\-exec", "\\-\\-framing", "\\-\\-stay", "\\-\\-dir", "find \\-print0"] {
        assert!(join.contains(option), "{option} in\n{join}");
    }
    let missing = dir.join("missing");
    let error = place.start(&["man", "--to", missing.to_str().expect("UTF-8")]).fail();
    assert!(error.contains("could not write into"), "{error}");
}

#[test]
fn each_shell_has_completions_for_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = place.start(&["completions", shell]).succeed();
        for command in COMMANDS {
            assert!(script.contains(command), "{command} in {shell}");
        }
        assert!(!script.contains("demo-worker"), "{shell}");
        assert!(script.contains("framing") && script.contains("json"), "{shell}");
    }
}

#[cfg(unix)]
#[test]
fn bash_completes_with_them() {
    let place = Place::new();
    let program = place.command(&[]);
    let script = "source <(\"$0\" completions bash); \
                  function=$(complete -p open-channel | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
                  COMP_WORDS=(open-channel join --fr); COMP_CWORD=2; \
                  $function open-channel --fr join; echo \"${COMPREPLY[@]}\"";
    let mut bash = std::process::Command::new("bash");
    let output = bash.args(["-c", script]).arg(program.get_program()).output();
    let output = output.expect("starting bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "--framing", "{output:?}");
}

/// Each heading of the FAQ is a part of an error's text.
#[test]
fn the_faq_has_texts_that_errors_really_have() {
    use std::path::{Path, PathBuf};

    fn sources(dir: &Path, all: &mut String) {
        let entries = std::fs::read_dir(dir).expect("a directory of sources");
        let paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        for path in paths {
            if path.is_dir() {
                sources(&path, all);
            } else {
                *all += &std::fs::read_to_string(&path).unwrap_or_default();
            }
        }
    }

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut all = String::new();
    for package in ["open-channel", "open-channel-cli"] {
        sources(&root.join("crates").join(package).join("src"), &mut all);
    }
    // A text may be broken into lines there.
    let all = all.replace("\\\n", " ").split_whitespace().collect::<Vec<_>>().join(" ");
    let faq = std::fs::read_to_string(root.join("docs/FAQ.md")).expect("the FAQ");
    let texts: Vec<&str> =
        faq.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    assert!(texts.len() > 20, "{texts:?}");
    for text in texts {
        assert!(all.contains(text), "no error says {text:?}");
    }
}
