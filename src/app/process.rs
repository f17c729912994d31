//! What the process does to itself so that its memory stays its own, and its connections fit.

use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
};

/// Nobody of the same user may read this process's memory, and none of it is written to a core file. Memory is kept out
/// of swap where the process may lock that much; each is reported when it cannot be had, and none is worth not starting.
pub(super) fn harden() {
    if let Err(why) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%why, "the process could not be made undumpable");
    }
    if let Err(why) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::warn!(%why, "core dumps could not be switched off");
    }
    lock_memory();
}

/// Every connection is an open file, and the usual soft limit is 1024: takes what the hard limit allows.
pub(super) fn make_room_for_connections() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Err(why) = raised {
        tracing::warn!(%why, "the limit of open files could not be raised");
    }
}

/// Who works at the command line, for the audit log.
pub(super) fn operator() -> String {
    format!("operator (uid {}, process {})", rustix::process::getuid().as_raw(), std::process::id())
}

/// This process's name among others: its machine, its number there, and two random bytes, since containers share both.
pub(super) fn node(random: [u8; 2]) -> String {
    let machine = rustix::system::uname().nodename().to_string_lossy().replace(|c: char| !c.is_ascii_graphic(), "?");
    format!("{machine}-{}-{:04x}", std::process::id(), u16::from_be_bytes(random))
}

fn lock_memory() {
    // Below "unlimited" a lock would make some later allocation fail, which is worse than swap.
    if getrlimit(Resource::Memlock).current.is_some() {
        tracing::debug!("memory is not locked: RLIMIT_MEMLOCK is limited");
        return;
    }
    match mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
        Ok(()) => tracing::debug!("memory is locked"),
        Err(why) => tracing::warn!(%why, "memory could not be locked"),
    }
}
