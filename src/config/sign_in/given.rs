//! One way to sign in as it was given, with its place for errors.

use std::fmt;

use crate::config::{
    notes::Notes,
    origins::Setting,
    sign_in_section::{Form, SignInSection},
};

/// Settings of one way to sign in, and the collector of their errors.
pub(super) struct Given<'a, 'n> {
    pub(super) section: &'a SignInSection,
    setting: Setting,
    notes: &'a mut Notes<'n>,
    is_wrong: bool,
}

impl<'a, 'n> Given<'a, 'n> {
    pub(super) fn new(app: &str, number: usize, section: &'a SignInSection, notes: &'a mut Notes<'n>) -> Self {
        Self { section, setting: format!("apps.{app}.sign_in[{number}]"), notes, is_wrong: false }
    }

    /// Path of one of its settings.
    pub(super) fn setting(&self, name: &str) -> Setting {
        format!("{}.{name}", self.setting)
    }

    /// Collector of errors.
    pub(super) fn notes(&mut self) -> &mut Notes<'n> {
        self.notes
    }

    /// Adds an error of one of its settings.
    pub(super) fn wrong(&mut self, name: &str, text: impl fmt::Display) {
        self.is_wrong = true;
        let setting = self.setting(name);
        self.notes.at(&setting, text);
    }

    /// Adds an error of the whole.
    pub(super) fn lacks(&mut self, text: impl fmt::Display) {
        self.is_wrong = true;
        self.notes.at(&self.setting, text);
    }

    /// Returns true where one of its settings has an error already.
    pub(super) fn has_error(&self, name: &str) -> bool {
        self.notes.has(&self.setting(name))
    }

    /// Returns the value, unless there was an error.
    pub(super) fn unless_wrong<T>(&self, value: T) -> Option<T> {
        (!self.is_wrong).then_some(value)
    }

    /// Returns the form that `kind` or `preset` chooses.
    pub(super) fn form(&mut self) -> Option<Form> {
        match (self.section.kind, self.section.preset) {
            (Some(kind), None) => Some(Form::Kind(kind)),
            (None, Some(preset)) => Some(Form::Preset(preset)),
            (Some(_), Some(_)) => {
                self.wrong("kind", "is not for a preset, which chooses it: leave out one of them");
                None
            }
            (None, None) => {
                if !self.notes.has(&self.setting) && !self.has_error("kind") && !self.has_error("preset") {
                    self.lacks("needs a preset, like preset = \"firebase\", or a kind, like kind = \"oidc\"");
                }
                None
            }
        }
    }
}
