//! Notes: errors of a configuration, each put at the place of its setting.

use super::{errors::ConfigErrors, origins::Origins};

/// Collector of errors. It adds to each error the place where its setting was given.
pub(super) struct Notes<'a> {
    origins: &'a Origins,
    errors: &'a mut ConfigErrors,
}

impl<'a> Notes<'a> {
    pub(super) fn new(origins: &'a Origins, errors: &'a mut ConfigErrors) -> Self {
        Self { origins, errors }
    }

    /// Returns true where this setting has an error, so that it has its default value now.
    pub(super) fn has(&self, setting: &str) -> bool {
        self.errors.names(setting)
    }

    /// Adds an error of this setting.
    pub(super) fn at(&mut self, setting: &str, text: impl std::fmt::Display) {
        self.errors.add(self.origins.place(setting), format!("{setting}: {text}"));
    }
}
