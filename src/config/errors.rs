//! What is wrong with a configuration, all at once.

use std::fmt;

/// One mistake, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// `countersign.toml:12:3`, `environment COUNTERSIGN_…`, `flag --listen`, or a file.
    pub place: String,
    /// What is wrong, and what to do.
    pub text: String,
}

/// Every mistake of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// A single mistake.
    pub(super) fn one(place: impl Into<String>, text: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(place, text);
        errors
    }

    pub(super) fn add(&mut self, place: impl Into<String>, text: impl Into<String>) {
        let mistake = ConfigError { place: place.into(), text: text.into() };
        if !self.0.contains(&mistake) {
            self.0.push(mistake);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "the configuration has a mistake")?,
            n => write!(f, "the configuration has {n} mistakes")?,
        }
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {}: {}", mistake.place, mistake.text))
    }
}

impl std::error::Error for ConfigErrors {}
