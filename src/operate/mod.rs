//! Operations of operators on keys, rotations, users, API keys, tokens and the store. The command line, the operators'
//! API and the console call this module and no other for them.

mod acts;
mod answers;
mod audit;
mod authentication;
mod clients;
mod clock;
mod console_sessions;
mod creations;
mod doctor;
mod error;
mod failures;
mod key_moves;
mod keys;
mod local;
mod names;
mod operations;
mod operators;
mod remote;
mod rotations;
mod store;
mod tokens;
mod users;
mod views;
pub mod wire;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use acts::Acts;
use names::KnownApps;

use crate::{
    audit::AuditKeys,
    braze::Directories,
    clock::ClockGuard,
    custody::{Custodian, KeyPlaces},
    domain::{audit::Actor, operator::Role, sealing::UserHashKey},
    rotate::{self, Rotator},
    secret::Entropy,
    store::Store,
};

pub use answers::AnswerSchemas;
pub use audit::{AuditOperationError, AuditOperations, PrintedCheckpoint, verify_export};
pub use authentication::Authentication;
pub use clients::{ClientError, Clients};
pub use clock::Clocks;
pub use console_sessions::{CONSOLE_IDLE, CONSOLE_LIFETIME, ConsoleSessions};
pub use creations::{RepeatableRequest, Repetition};
pub use doctor::{Check, Health, OutsideChecks};
pub use error::{OperationError, OperationErrorKind};
pub use failures::{FailureOverview, FailureSettings, ReportedFailures, VersionCount};
pub use key_moves::{MovedKey, RewrappedKey};
pub use keys::{Activated, CeremonyError, KeyCeremony};
pub use names::{UnknownApp, UnknownRing, UserError};
pub use operations::{
    About, AuditRecord, Configuration, ConfirmedKey, DashboardChange, EndedSessions, KeySelection, Operations,
    OptedOut, ReplacedAuditKey, RotationAct, SessionsOf,
};
pub use operators::OperatorRecords;
pub use remote::{BadEndpoint, Endpoint, RemoteOperations};
pub use rotations::{
    BrazeDiff, BrazeKey, BrazeKeys, Comparison, CompromiseForecast, Confirmed, Consequences, KeySource, KeyStatus,
    NodeStatus, Outcome, RecordedKey, RingError, RingOutcome, RingPlan, RingStatus, Rotations, StepReport, WaitReason,
};
pub use store::StoreUpkeep;
pub use tokens::Tokens;
pub use users::{PendingNode, Users};
pub use views::{ClientApiKey, CreatedClient, CreatedOperator, OperatorEntry, UserSession};

/// Dependencies of the operators' operations. `app` provides them.
#[derive(Clone)]
pub struct Operator {
    pub store: Arc<dyn Store>,
    pub custodian: Arc<dyn Custodian>,
    pub places: Arc<dyn KeyPlaces>,
    /// Key under which user ids are hashed for the store.
    pub user_hash: Arc<UserHashKey>,
    /// Keys that sign checkpoints of the audit log.
    pub audit_keys: Arc<AuditKeys>,
    pub clock: Arc<ClockGuard>,
    pub entropy: Arc<dyn Entropy>,
    /// Workspaces of Braze by name.
    pub directories: Arc<Directories>,
    /// Checks of the providers that vouch for users.
    pub outside: Arc<dyn OutsideChecks>,
    /// Rings that apps of the configuration use.
    pub rings: Vec<rotate::Ring>,
    /// Facts of the configuration that failures are compared with.
    pub failures: FailureSettings,
    /// Configuration in force.
    pub configuration: Configuration,
    /// Operator as the audit log names him.
    pub actor: Actor,
    /// Rights of the operator.
    pub role: Role,
    /// Name in leases; no two operators have the same one at a time.
    pub lease_name: String,
}

impl Operator {
    /// Returns the same operations for another operator, who acts in one request.
    #[must_use]
    pub fn acting(&self, actor: Actor, role: Role) -> Self {
        static REQUESTS: AtomicU64 = AtomicU64::new(0);
        let request = REQUESTS.fetch_add(1, Ordering::Relaxed);
        Self { actor, role, lease_name: format!("{}, request {request}", self.lease_name), ..self.clone() }
    }

    /// Returns the operations on keys: generate, import, list, find.
    pub fn keys(&self) -> KeyCeremony {
        KeyCeremony {
            store: Arc::clone(&self.store),
            custodian: Arc::clone(&self.custodian),
            places: Arc::clone(&self.places),
            clock: Arc::clone(&self.clock),
            acts: self.acts(),
            lease_name: self.lease_name.clone(),
            rings: self.rings.iter().map(|ring| ring.name.clone()).collect(),
        }
    }

    fn acts(&self) -> Acts {
        Acts { store: Arc::clone(&self.store), clock: Arc::clone(&self.clock), actor: self.actor.clone() }
    }

    fn apps(&self) -> KnownApps {
        KnownApps::new(&self.rings, &self.store)
    }

    /// Returns the operations on rotations; `on_step` is called with each step that is done.
    pub fn rotations(&self, on_step: impl Fn(&StepReport) + Send + Sync + 'static) -> Rotations {
        let steps = rotations::Steps::default();
        let rotator = Rotator {
            store: Arc::clone(&self.store),
            custodian: Arc::clone(&self.custodian),
            directories: Arc::clone(&self.directories),
            clock: Arc::clone(&self.clock),
            actor: self.actor.clone(),
            lease_name: self.lease_name.clone(),
            observer: steps.observer(on_step),
        };
        Rotations::new(rotator, self.rings.clone(), steps)
    }

    /// Returns the operations on users and their sessions.
    pub fn users(&self) -> Users {
        Users {
            store: Arc::clone(&self.store),
            user_hash: Arc::clone(&self.user_hash),
            clock: Arc::clone(&self.clock),
            apps: self.apps(),
            acts: self.acts(),
        }
    }

    /// Returns the operations on API keys.
    pub fn clients(&self) -> Clients {
        Clients {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            apps: self.apps(),
            acts: self.acts(),
        }
    }

    /// Returns the operations on operators.
    pub fn operators(&self) -> OperatorRecords {
        OperatorRecords {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            acts: self.acts(),
        }
    }

    /// Returns the operations on sessions of the console.
    pub fn console_sessions(&self) -> ConsoleSessions {
        ConsoleSessions {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
        }
    }

    /// Returns the operations on the clock.
    pub fn clocks(&self) -> Clocks {
        Clocks { store: Arc::clone(&self.store), clock: Arc::clone(&self.clock), actor: self.actor.name.clone() }
    }

    /// Returns the operations on the audit log.
    pub fn audit(&self) -> AuditOperations {
        AuditOperations {
            store: Arc::clone(&self.store),
            keys: Arc::clone(&self.audit_keys),
            clock: Arc::clone(&self.clock),
            actor: self.actor.clone(),
        }
    }

    /// Returns the operations on failures that apps report.
    pub fn failures(&self) -> ReportedFailures {
        ReportedFailures {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            known_apps: self.apps(),
            settings: self.failures.clone(),
        }
    }

    /// Returns the operations on the store itself.
    pub fn store(&self) -> StoreUpkeep {
        StoreUpkeep { store: Arc::clone(&self.store) }
    }
}
