//! Readiness: conditions that the node finds out, kept where the health routes can read them.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use serde::Serialize;
use utoipa::ToSchema;

/// Whether the service should get requests, and why not.
#[derive(Debug, Default)]
pub struct Readiness {
    draining: AtomicBool,
    conditions: Mutex<Vec<Condition>>,
    advice: Mutex<Vec<Condition>>,
}

/// One thing the service needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Condition {
    /// What it is: `store`, `clock`, `ring <name>`, `serving`.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What is the matter, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Condition {
    /// A condition that holds where `reason` is `None`.
    pub fn new(name: impl Into<String>, reason: Option<String>) -> Self {
        Self { name: name.into(), ok: reason.is_none(), reason }
    }
}

impl Readiness {
    /// Takes what was found out now.
    pub fn set(&self, conditions: Vec<Condition>) {
        *self.conditions.lock().unwrap_or_else(PoisonError::into_inner) = conditions;
    }

    /// Takes what an operator should look at, and what keeps the service from nothing.
    pub fn advise(&self, advice: Vec<Condition>) {
        *self.advice.lock().unwrap_or_else(PoisonError::into_inner) = advice;
    }

    /// The service is going: no new requests, please.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Returns the state as `/readyz` answers it; with `verbose`, also what an operator should look at.
    pub fn report(&self, verbose: bool) -> ReadinessReport {
        let draining = self.draining.load(Ordering::Relaxed);
        let mut conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if conditions.is_empty() {
            conditions.push(Condition::new("serving", Some("starting".to_owned())));
        }
        if draining {
            conditions.push(Condition::new("serving", Some("shutting down".to_owned())));
        }
        let ready = conditions.iter().all(|condition| condition.ok);
        let advice = verbose.then(|| self.advice.lock().unwrap_or_else(PoisonError::into_inner).clone());
        ReadinessReport { ready, conditions, advice }
    }
}

/// What `/readyz` answers, ready or not.
#[derive(Serialize, ToSchema)]
pub struct ReadinessReport {
    /// Whether the service should get requests.
    pub ready: bool,
    /// What that depends on.
    pub conditions: Vec<Condition>,
    /// What an operator should look at, where it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<Vec<Condition>>,
}
