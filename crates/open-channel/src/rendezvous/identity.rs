//! A channel's name and scope, and what they amount to.

use std::ffi::OsString;

use open_channel_proto::ChannelKey;
use sha2::{Digest, Sha256};

use crate::error::Error;

/// Longest channel name in bytes of UTF-8.
pub const MAX_NAME: usize = 255;

/// Characters of the name that show in its directory's name.
const READABLE_PREFIX: usize = 16;

/// The environment variable that names the application.
const APP_VARIABLE: &str = "OPEN_CHANNEL_APP";
/// The environment variable that names the scope.
const SCOPE_VARIABLE: &str = "OPEN_CHANNEL_SCOPE";

/// The programs that share a channel of one name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Scope {
    /// Every program of the user.
    #[default]
    User,
    /// Only programs that name the same application, by any string they agree on (the Node package
    /// uses the path of the entry script).
    App(String),
}

impl Scope {
    /// The scope that the environment asks for; [`Scope::User`] if it asks for none. An empty
    /// variable counts as one that is not set.
    pub(crate) fn from_environment() -> Result<Self, Error> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self::of(variable(SCOPE_VARIABLE), variable(APP_VARIABLE))
    }

    fn of(scope: Option<OsString>, app: Option<OsString>) -> Result<Self, Error> {
        let invalid = |setting, problem| Error::InvalidSetting { setting, problem };
        let named = scope.as_deref().map(|scope| scope.to_str().unwrap_or_default());
        match (named, app) {
            (Some("user"), _) | (None, None) => Ok(Self::User),
            (Some("app") | None, Some(app)) => app
                .into_string()
                .map(Self::App)
                .map_err(|_| invalid(APP_VARIABLE, "is not valid UTF-8: choose another name")),
            (Some("app"), None) => Err(invalid(
                SCOPE_VARIABLE,
                "is `app`, and nothing names the application: set OPEN_CHANNEL_APP, too",
            )),
            (Some(_), _) => {
                Err(invalid(SCOPE_VARIABLE, "is neither `user` nor `app`: set it to one of them"))
            }
        }
    }
}

/// A channel's identity: what its name and scope amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) key: ChannelKey,
    pub(crate) scope: Scope,
    directory: String,
}

impl Identity {
    /// The name of its directory.
    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }

    pub(crate) fn new(name: &str, scope: Scope) -> Result<Self, Error> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(Error::InvalidName { len: name.len(), max: MAX_NAME });
        }
        let mut hash = Sha256::new();
        match &scope {
            Scope::User => hash.update(b"open-channel user\0"),
            Scope::App(app) => {
                hash.update(b"open-channel app\0");
                hash.update((app.len() as u64).to_le_bytes());
                hash.update(app);
            }
        }
        hash.update(name);
        let digest: [u8; 32] = hash.finalize().into();
        let mut key = ChannelKey::default();
        key.copy_from_slice(&digest[..16]);
        let readable: String = name
            .chars()
            .take(READABLE_PREFIX)
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
            .collect();
        let unique = u64::from_be_bytes(*digest.last_chunk().unwrap_or(&[0; 8]));
        Ok(Self { key, scope, directory: format!("{readable}-{unique:016x}") })
    }
}

/// Whether a channel's directory could have this name.
pub(crate) fn is_channel(directory: &str) -> bool {
    let Some((readable, unique)) = directory.rsplit_once('-') else { return false };
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    unique.len() == 16
        && unique.bytes().all(is_hex)
        && (1..=READABLE_PREFIX).contains(&readable.len())
        && readable.bytes().all(is_safe)
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use std::os::unix::ffi::OsStringExt;
    #[cfg(windows)]
    use std::os::windows::ffi::OsStringExt;

    use super::*;

    fn directory(name: &str, scope: Scope) -> String {
        Identity::new(name, scope).expect("a good name").directory
    }

    #[test]
    fn names_become_safe_short_and_distinct() {
        let long = "x".repeat(MAX_NAME);
        let longer = format!("{}y", "x".repeat(MAX_NAME - 1));
        let names = [
            "a",
            "A",
            "a/../../../x",
            "..",
            ".",
            "/",
            "🦀🦀",
            "a b",
            "a\0b",
            "-rf",
            &long,
            &longer,
        ];
        let mut seen = std::collections::HashSet::new();
        for name in names {
            let directory = directory(name, Scope::User);
            assert!(directory.len() <= READABLE_PREFIX + 17, "{directory}");
            assert!(
                directory.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
                "{directory}"
            );
            assert!(is_channel(&directory), "{directory}");
            assert!(seen.insert(directory));
        }
    }

    #[test]
    fn directories_that_are_no_channels_are_recognised() {
        for other in [
            "generations",
            "photos-2024",
            "-0123456789abcdef",
            "a-0123456789ABCDEF",
            "a-0123456789abcde",
        ] {
            assert!(!is_channel(other), "{other}");
        }
    }

    #[test]
    fn scopes_keep_channels_of_one_name_apart() {
        let app = |app: &str| directory("jobs", Scope::App(app.into()));
        assert_ne!(app("/srv/a.js"), app("/srv/b.js"));
        assert_ne!(app("/srv/a.js"), directory("jobs", Scope::User));
        assert_eq!(app("/srv/a.js"), app("/srv/a.js"));
    }

    #[test]
    fn empty_and_overlong_names_are_refused() {
        for name in ["", &"x".repeat(MAX_NAME + 1)] {
            assert!(matches!(Identity::new(name, Scope::User), Err(Error::InvalidName { .. })));
        }
    }

    #[test]
    fn the_environment_names_the_scope_and_the_application() {
        let of = |scope: Option<&str>, app: Option<&str>| {
            Scope::of(scope.map(Into::into), app.map(Into::into))
        };
        let shop = || Scope::App("shop".into());
        for (scope, app, meant) in [
            (None, None, Scope::User),
            (None, Some("shop"), shop()),
            (Some("app"), Some("shop"), shop()),
            (Some("user"), None, Scope::User),
            (Some("user"), Some("shop"), Scope::User),
        ] {
            assert_eq!(of(scope, app).expect("a good environment"), meant, "{scope:?} {app:?}");
        }
        for (scope, app, named) in [
            ("all", Some("shop"), SCOPE_VARIABLE),
            ("User", None, SCOPE_VARIABLE),
            ("app", None, APP_VARIABLE),
        ] {
            let error = of(Some(scope), app).expect_err("a bad environment").to_string();
            assert!(error.contains(SCOPE_VARIABLE) && error.contains(named), "{error}");
        }
        #[cfg(unix)]
        let broken = OsString::from_vec(vec![b's', 0xff]);
        #[cfg(windows)]
        let broken = OsString::from_wide(&[0x73, 0xd800]);
        let error = Scope::of(None, Some(broken.clone())).expect_err("not UTF-8").to_string();
        assert!(error.contains(APP_VARIABLE), "{error}");
        assert!(Scope::of(Some(broken), None).is_err());
    }

    /// Other languages and later versions must find the same place: this never changes.
    #[test]
    fn the_directory_of_a_name_is_pinned() {
        assert_eq!(directory("chat", Scope::User), pinned());
    }

    fn pinned() -> String {
        let digest: [u8; 32] = Sha256::digest(b"open-channel user\0chat").into();
        format!(
            "chat-{}",
            digest[24..].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        )
    }
}
