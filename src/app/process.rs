//! The process: its operator, and limits that keep its memory private and its connections open.

use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
};

use crate::files::replaced_user;

/// Keeps memory private: other processes of the same user cannot read it, and there are no core dumps. Memory is
/// locked, so that it is never swapped, where `RLIMIT_MEMLOCK` is unlimited. A measure that fails is logged; the
/// process starts without it.
pub(super) fn harden() {
    if let Err(why) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%why, "the process could not be protected from being dumped (PR_SET_DUMPABLE)");
    }
    if let Err(why) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::warn!(%why, "core dumps could not be switched off");
    }
    lock_memory();
}

/// Files that a node needs beside those of its connections: store, keys, listeners, requests to others.
const OTHER_FILES: u64 = 200;

/// Raises the limit of open files to the hard limit: every connection is an open file, and the usual soft limit is
/// 1024. Warns where even that is too low for the connections that are allowed.
pub(super) fn raise_open_files_limit(max_connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let needed = max_connections as u64 + OTHER_FILES;
    if let Some(maximum) = limit.maximum.filter(|maximum| *maximum < needed) {
        tracing::warn!(
            "the process may open {maximum} files, and server.max_connections is {max_connections}: raise the limit to {needed} \
             (`LimitNOFILE=` in a unit, `--ulimit nofile=` of a container), or lower server.max_connections"
        );
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Err(why) = raised {
        tracing::warn!(%why, "the limit of open files could not be raised");
    }
}

/// Name of the operator at the command line, for the audit log and for leases. The process has a name that no process of
/// another machine has: with the process id alone, commands in two containers would hold one lease together.
pub(super) fn operator_name(process: &str) -> String {
    let uid = replaced_user().unwrap_or_else(|| rustix::process::getuid().as_raw());
    format!("operator (uid {uid}, process {process})")
}

fn lock_memory() {
    // Below "unlimited" a lock would make some later allocation fail, which is worse than swap.
    if getrlimit(Resource::Memlock).current.is_some() {
        tracing::info!(
            "memory may be swapped, since the limit of locked memory is finite: raise it (`LimitMEMLOCK=infinity` in a unit, \
             `--ulimit memlock=-1` of a container), or do without swap"
        );
        return;
    }
    match mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
        Ok(()) => tracing::debug!("memory is locked"),
        Err(why) => tracing::warn!(%why, "memory could not be locked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outage::process_name;

    #[test]
    fn commands_with_one_process_id_have_different_names() {
        let [one, other] = [[1, 2], [1, 3]].map(|random| operator_name(&process_name(random)));
        assert_ne!(one, other);
        assert!(one.contains(&format!("-{}-", std::process::id())) && one.ends_with("-0102)"), "{one}");
    }
}
