//! Settings as text with their origin, layered: flag over environment over file over default.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::setting::Setting;

/// Where a value came from; errors show it, so that it can be found and mended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The command line.
    Flag(Setting),
    /// The environment.
    Variable(Setting),
    /// A config file.
    File(Setting, PathBuf),
    /// Nobody gave one.
    Default(Setting),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(setting) => write!(f, "--{}", setting.word()),
            Self::Variable(setting) => f.write_str(&setting.variable()),
            Self::File(setting, path) => write!(f, "{} in {}", setting.key(), path.display()),
            Self::Default(setting) => write!(f, "the default of --{}", setting.word()),
        }
    }
}

/// The text of one setting and where it came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Given {
    /// As it was written.
    pub text: String,
    /// By whom.
    pub origin: Origin,
}

/// Everything that was given, the highest layer winning. Unchecked: see [`Settings::validate`].
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Settings {
    given: BTreeMap<Setting, Given>,
}

impl Settings {
    /// What the command line says.
    pub fn from_flags(flags: impl IntoIterator<Item = (Setting, String)>) -> Self {
        Self::collect(flags, Origin::Flag)
    }

    /// What `LIMOSA_*` variables say; `look_up` is the environment. An empty variable counts as not given.
    pub fn from_environment(look_up: impl Fn(&str) -> Option<String>) -> Self {
        let given = Setting::ALL.into_iter().filter_map(|setting| Some((setting, look_up(&setting.variable())?)));
        Self::collect(given.filter(|(_, text)| !text.is_empty()), Origin::Variable)
    }

    /// What a config file says.
    ///
    /// # Errors
    /// When it can't be read, is not TOML, or has an unknown key.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::from_toml(path, &text)
    }

    pub(crate) fn from_toml(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let malformed = |why: String| ConfigError::Malformed { path: path.to_owned(), why };
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| malformed(e.to_string().trim_end().to_owned()))?;
        let mut given = Vec::with_capacity(table.len());
        for (key, value) in table {
            let setting = Setting::from_key(&key).ok_or_else(|| unknown(path, &key))?;
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                other => return Err(malformed(format!("`{key}` is {}, not a string or a number", other.type_str()))),
            };
            given.push((setting, text));
        }
        Ok(Self::collect(given, |setting| Origin::File(setting, path.to_owned())))
    }

    /// These, and where they say nothing, `lower`.
    #[must_use]
    pub fn over(mut self, lower: Self) -> Self {
        for (setting, given) in lower.given {
            self.given.entry(setting).or_insert(given);
        }
        self
    }

    /// What holds for a setting, its default included.
    pub fn value(&self, setting: Setting) -> Option<Given> {
        let default = || setting.default().map(|text| Given { text: text.to_owned(), origin: Origin::Default(setting) });
        self.given.get(&setting).cloned().or_else(default)
    }

    fn collect(given: impl IntoIterator<Item = (Setting, String)>, origin: impl Fn(Setting) -> Origin) -> Self {
        let given = given.into_iter().map(|(setting, text)| (setting, Given { text, origin: origin(setting) })).collect();
        Self { given }
    }
}

fn unknown(path: &Path, key: &str) -> ConfigError {
    let normal = key.replace('-', "_");
    let near = Setting::ALL.into_iter().map(Setting::key).find(|known| distance(known, &normal) <= 2);
    let hint = near.map_or_else(|| "`limosa serve --help` lists them".to_owned(), |near| format!("did you mean `{near}`?"));
    ConfigError::UnknownSetting { path: path.to_owned(), key: key.to_owned(), hint }
}

/// Edits (insert, delete, replace) between two short words, by the Wagner-Fischer table, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replace = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Settings, ConfigError> {
        Settings::from_toml(Path::new("limosa.toml"), text)
    }

    fn text(settings: &Settings, setting: Setting) -> String {
        settings.value(setting).map(|given| given.text).unwrap_or_default()
    }

    #[test]
    fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
        let flags = Settings::from_flags([(Setting::Resp, "127.0.0.1:1".to_owned())]);
        let environment = Settings::from_environment(|name| match name {
            "LIMOSA_RESP" => Some("127.0.0.1:2".to_owned()),
            "LIMOSA_PEER" => Some("127.0.0.1:3".to_owned()),
            "LIMOSA_LOG" => Some(String::new()),
            _ => None,
        });
        let file = file("resp = '127.0.0.1:4'\npeer = '127.0.0.1:5'\nstop_timeout = '3s'\nfragments = 8").expect("valid TOML");
        let settings = flags.over(environment).over(file);

        assert_eq!(text(&settings, Setting::Resp), "127.0.0.1:1");
        assert_eq!(text(&settings, Setting::Peer), "127.0.0.1:3");
        assert_eq!(text(&settings, Setting::StopTimeout), "3s");
        assert_eq!(text(&settings, Setting::Fragments), "8");
        assert_eq!(text(&settings, Setting::Log), "info", "an empty variable is not a value");
        assert_eq!(settings.value(Setting::StandbyOf), None);
        let origin = settings.value(Setting::StopTimeout).expect("given in the file").origin;
        assert_eq!(origin.to_string(), "stop_timeout in limosa.toml");
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let error = file("durabilty = 'commit'").expect_err("a misspelt key");
        assert_eq!(error.code(), "config.unknown_setting");
        assert!(error.to_string().contains("did you mean `durability`?"), "{error}");
        let error = file("stop-timeout = '3s'").expect_err("keys use underscores");
        assert!(error.to_string().contains("did you mean `stop_timeout`?"), "{error}");
        let error = file("colour = 'red'").expect_err("no such setting");
        assert!(error.to_string().contains("--help"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_toml_or_not_there_says_where() {
        for (text, part) in [("resp = ", "line 1"), ("resp = ['a']", "`resp` is array"), ("[resp]\na = 1", "`resp` is table")] {
            let error = file(text).expect_err(text);
            assert_eq!(error.code(), "config.malformed");
            assert!(error.to_string().contains(part) && error.to_string().contains("limosa.toml"), "{error}");
        }
        let error = Settings::from_file(Path::new("/nowhere/limosa.toml")).expect_err("no such file");
        assert_eq!(error.code(), "config.unreadable");
    }
}
