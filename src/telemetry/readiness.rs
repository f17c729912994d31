//! Readiness: the conditions that the node determines and the health routes report.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use serde::Serialize;

/// Readiness of the service for requests, with the reasons against it.
#[derive(Debug, Default)]
pub struct Readiness {
    draining: AtomicBool,
    conditions: Mutex<Vec<Condition>>,
    advice: Mutex<Vec<Condition>>,
}

/// Something that the service needs, or that an operator should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Name: `serving`, `clock`, `keys`, `store`, `records`, `audit`, `ring <name>`.
    pub name: String,
    /// True where the condition holds.
    pub ok: bool,
    /// True where readiness depends on the condition: another node could do better.
    pub required: bool,
    /// Reason why the condition does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Condition {
    /// Condition that readiness depends on; it holds where `reason` is `None`.
    pub fn required(name: impl Into<String>, reason: Option<String>) -> Self {
        Self { name: name.into(), ok: reason.is_none(), required: true, reason }
    }

    /// Condition that all nodes share, or that an operator should look at; it holds where `reason` is `None`.
    pub fn shared(name: impl Into<String>, reason: Option<String>) -> Self {
        Self { required: false, ..Self::required(name, reason) }
    }
}

impl Readiness {
    /// Replaces the conditions of this node.
    pub fn set(&self, conditions: Vec<Condition>) {
        *self.conditions.lock().unwrap_or_else(PoisonError::into_inner) = conditions;
    }

    /// Replaces the conditions that an operator should look at; readiness does not depend on them.
    pub fn advise(&self, advice: Vec<Condition>) {
        *self.advice.lock().unwrap_or_else(PoisonError::into_inner) = advice;
    }

    /// Reports the service as not ready from now on, because it shuts down.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Returns the state for operators; with `verbose`, also what they should look at besides.
    pub fn report(&self, verbose: bool) -> ReadinessReport {
        let draining = self.draining.load(Ordering::Relaxed);
        let mut conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if conditions.is_empty() {
            conditions.push(Condition::required("serving", Some("starting".to_owned())));
        }
        if draining {
            conditions.push(Condition::required("serving", Some("shutting down".to_owned())));
        }
        let ready = conditions.iter().all(|condition| condition.ok || !condition.required);
        let advice = verbose.then(|| self.advice.lock().unwrap_or_else(PoisonError::into_inner).clone());
        ReadinessReport { ready, conditions, advice }
    }
}

/// Answer of `/readyz` on the ops listener.
#[derive(Serialize)]
pub struct ReadinessReport {
    /// True where this node should get requests.
    pub ready: bool,
    /// Conditions of this node; `ready` depends on the required ones.
    pub conditions: Vec<Condition>,
    /// Conditions that an operator should look at, where they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<Vec<Condition>>,
}
