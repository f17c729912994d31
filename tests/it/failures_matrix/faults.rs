//! Faults, each with its cause: what goes wrong in the model, before Braze refuses a request.

use countersign::domain::failure::Cause;

use super::model::Model;

/// Fault that is put into the model.
pub struct Fault {
    pub name: &'static str,
    pub cause: Cause,
    /// Apps of which one has the fault.
    pub apps: &'static [&'static str],
    pub inject: fn(&mut Model),
}

pub const LISTED: &[&str] = &["web", "ios"];
pub const BY_HAND: &[&str] = &["kiosk"];
pub const ANY: &[&str] = &["web", "ios", "kiosk"];

pub const fn fault(name: &'static str, cause: Cause, apps: &'static [&'static str], inject: fn(&mut Model)) -> Fault {
    Fault { name, cause, apps, inject }
}

impl Fault {
    pub fn model(&self, seed: u64) -> Model {
        let app = self.apps[usize::try_from(seed % self.apps.len() as u64).unwrap()];
        let mut model = Model::new(seed, app);
        (self.inject)(&mut model);
        model
    }
}
