//! Names of apps and rings that an operator gives: one that nothing knows is refused, with the closest that is known.
//! A mistyped name would otherwise report success and change nothing.

use std::{collections::BTreeSet, fmt, sync::Arc};

use crate::{
    clock::ClockStopped,
    domain::ids::{AppName, RingName},
    rotate::Ring,
    store::{Store, StoreError},
};

/// Greatest distance of a name that is suggested: two typing errors.
const CLOSE: usize = 2;

/// Apps of the configuration, and those that the store has records of.
pub(super) struct KnownApps {
    configured: BTreeSet<AppName>,
    store: Arc<dyn Store>,
}

impl KnownApps {
    pub(super) fn new(rings: &[Ring], store: &Arc<dyn Store>) -> Self {
        let apps = rings.iter().flat_map(|ring| ring.apps.iter().map(|app| app.app.clone()));
        Self { configured: apps.collect(), store: Arc::clone(store) }
    }

    /// Checks that the configuration has the apps.
    ///
    /// # Errors
    /// [`UnknownApp`].
    pub(super) fn check_configured<'a>(&self, apps: impl IntoIterator<Item = &'a AppName>) -> Result<(), UnknownApp> {
        apps.into_iter().try_for_each(|app| UnknownApp::check(app, &self.configured))
    }

    /// Checks that the configuration has the app, or that sessions or opt-outs of it are on record: those can be
    /// ended and undone after the app has left the configuration.
    ///
    /// # Errors
    /// [`UserError`].
    pub(super) async fn check_known(&self, app: Option<&AppName>) -> Result<(), UserError> {
        let Some(app) = app else { return Ok(()) };
        match self.check_configured([app]) {
            Err(unknown) if !self.store.has_records_of_app(app).await? => Err(unknown.into()),
            _ => Ok(()),
        }
    }
}

/// Error for an app that the configuration does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no [apps.{app}] in the configuration{hint}")]
pub struct UnknownApp {
    app: AppName,
    hint: Hint,
}

impl UnknownApp {
    /// Makes the error, with the closest app of the configuration.
    pub fn new<'a>(app: &AppName, configured: impl IntoIterator<Item = &'a AppName>) -> Self {
        let names = configured.into_iter().map(AppName::as_str);
        Self { app: app.clone(), hint: Hint::of(app.as_str(), names) }
    }

    /// Checks that an app is one of those of the configuration.
    ///
    /// # Errors
    /// [`UnknownApp`] otherwise.
    pub fn check<'a>(
        app: &AppName,
        configured: impl IntoIterator<Item = &'a AppName, IntoIter: Clone>,
    ) -> Result<(), Self> {
        let configured = configured.into_iter();
        if configured.clone().any(|known| known == app) { Ok(()) } else { Err(Self::new(app, configured)) }
    }
}

/// Reason why an operation on users failed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Neither the configuration nor the store knows the app.
    #[error(transparent)]
    UnknownApp(#[from] UnknownApp),
    #[error(transparent)]
    Clock(#[from] ClockStopped),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Error for a ring that no app of the configuration uses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no app of the configuration uses ring {ring}{hint}")]
pub struct UnknownRing {
    ring: RingName,
    hint: Hint,
}

impl UnknownRing {
    pub(super) fn new<'a>(ring: &RingName, used: impl IntoIterator<Item = &'a RingName>) -> Self {
        Self { ring: ring.clone(), hint: Hint::of(ring.as_str(), used.into_iter().map(RingName::as_str)) }
    }
}

/// End of an error's text: the closest known name, or every known one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hint {
    Closest(String),
    Known(Vec<String>),
}

impl Hint {
    fn of<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let distances = known.iter().map(|other| (strsim::damerau_levenshtein(name, other), *other));
        match distances.min().filter(|(distance, other)| *distance <= CLOSE && *distance < other.len()) {
            Some((_, closest)) => Self::Closest(closest.to_owned()),
            None => Self::Known(known.into_iter().map(str::to_owned).collect()),
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closest(name) => write!(f, "; did you mean {name}?"),
            Self::Known(names) if names.is_empty() => Ok(()),
            Self::Known(names) => write!(f, "; it has {}", names.join(", ")),
        }
    }
}
