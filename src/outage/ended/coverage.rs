//! Coverage: the sessions of which it is known whether they have ended.

use crate::clock::UnixMillis;

/// Sessions of which it is known whether they have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    All,
    /// Those that began after this time; there was no memory for the others.
    From(UnixMillis),
    /// None: an end could not be kept.
    Nothing,
}

/// Loss of ends that could not be kept, until all are read again.
#[derive(Clone, Copy, Default)]
pub(super) struct Loss {
    /// Some are missing.
    pub(super) is_lost: bool,
    /// One could not be kept since the last reading of all began.
    since_begin: bool,
}

impl Loss {
    pub(super) fn note(&mut self) {
        *self = Self { is_lost: true, since_begin: true };
    }

    pub(super) fn begin_reading(&mut self) {
        self.since_begin = false;
    }

    /// All have been read, and what could not be kept meanwhile is missing.
    pub(super) fn complete_reading(&mut self) {
        self.is_lost = self.since_begin;
    }
}
