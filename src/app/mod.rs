//! Composition: opens every module once, connects them, supervises their tasks, runs until shutdown.

mod background;
mod bootstrap;
mod copy_store;
mod dev;
mod failpoint;
mod installation;
mod listeners;
mod loopback;
mod process;
mod provider_checks;
mod reported_apps;
mod restore;
mod sealed_keys;
mod serve;
mod services;
mod sign_in_advice;
mod sign_ins;
mod signals;
mod supervisor;
mod waiting;
mod wiring;

pub use background::{Background, BackgroundTask, TaskEnded};
pub use bootstrap::{Bootstrap, Layout};
pub use copy_store::{CopyStoreError, StorePlace, copy_store};
pub use dev::{Access, Dev, DevError};
pub use installation::InstallationError;
pub use listeners::{Listeners, Running};
pub use loopback::LoopbackListener;
pub use provider_checks::check_providers;
pub use restore::{LiveClients, Restored, RestoredError};
pub use serve::{ServeError, serve, serve_when_reachable};
pub use services::{Ambient, OpenError, Services};
pub use sign_ins::{Accepted, Refused, Trial, TriedCredential, try_sign_in};
pub use signals::stop_signal;
pub use wiring::Wiring;
