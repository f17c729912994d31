//! Errors of a configuration, all at once.

use std::fmt;

/// One error and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// `countersign.toml:12:3`, `environment COUNTERSIGN_…`, `flag --listen`, or a file.
    pub place: String,
    /// The error, and what to do.
    pub text: String,
}

/// Every error of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Makes a list of one error.
    pub(super) fn one(place: impl Into<String>, text: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(place, text);
        errors
    }

    pub(super) fn add(&mut self, place: impl Into<String>, text: impl Into<String>) {
        let error = ConfigError { place: place.into(), text: text.into() };
        if !self.0.contains(&error) {
            self.0.push(error);
        }
    }

    /// Returns true where there is an error of this setting.
    pub(super) fn names(&self, setting: &str) -> bool {
        self.0.iter().any(|error| error.text.strip_prefix(setting).is_some_and(|rest| rest.starts_with(':')))
    }

    /// Returns true where there is no error.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the errors.
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
        self.0.iter().try_for_each(|error| write!(f, "\n  {}: {}", error.place, error.text))
    }
}

impl std::error::Error for ConfigErrors {}
