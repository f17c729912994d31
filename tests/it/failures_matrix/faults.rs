//! Faults, each with its cause: what goes wrong in the model, before Braze refuses a request.

use countersign::domain::failure::Cause;

use super::world::World;

/// Fault that is put into the model.
pub struct Fault {
    pub name: &'static str,
    pub cause: Cause,
    /// Apps of which one has the fault.
    pub apps: &'static [&'static str],
    pub inject: fn(&mut World),
}

pub const LISTED: &[&str] = &["web", "ios"];
pub const BY_HAND: &[&str] = &["kiosk"];
pub const ANY: &[&str] = &["web", "ios", "kiosk"];

pub const fn fault(name: &'static str, cause: Cause, apps: &'static [&'static str], inject: fn(&mut World)) -> Fault {
    Fault { name, cause, apps, inject }
}

impl Fault {
    pub fn world(&self, seed: u64) -> World {
        let app = self.apps[usize::try_from(seed % self.apps.len() as u64).unwrap()];
        let mut world = World::new(seed, app);
        (self.inject)(&mut world);
        world
    }
}
