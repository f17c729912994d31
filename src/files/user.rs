//! User of the service, and the change of a process of root to that user.

use std::{io, path::Path, sync::OnceLock};

use rustix::{
    fs::Stat,
    process::{Gid, Uid, getegid, geteuid, getgroups, getuid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

/// Group that owns nothing.
const NOBODY: u32 = 65_534;

/// User that this process had before [`User::assume`].
static REPLACED: OnceLock<u32> = OnceLock::new();

/// User and groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    uid: u32,
    groups: Vec<u32>,
}

impl User {
    /// User of this process.
    pub fn of_process() -> Self {
        let mut groups: Vec<u32> = getgroups().unwrap_or_default().into_iter().map(Gid::as_raw).collect();
        groups.push(getegid().as_raw());
        Self { uid: geteuid().as_raw(), groups }
    }

    /// User that works on a file or folder: for root its owner, for everybody else the own user. Where it does not exist,
    /// the next folder above it counts.
    pub fn owner_of(path: &Path) -> Self {
        let us = Self::of_process();
        if us.uid != 0 {
            return us;
        }
        let found = path.ancestors().find_map(|path| {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            rustix::fs::stat(path).ok()
        });
        match found {
            Some(found) if found.st_uid != 0 => Self { uid: found.st_uid, groups: vec![group(&found)] },
            _ => us,
        }
    }

    /// User with this id and these groups.
    #[cfg(test)]
    pub(super) fn of(uid: u32, groups: &[u32]) -> Self {
        Self { uid, groups: groups.to_vec() }
    }

    /// Returns the user's id.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Returns true for root's group and the user's own.
    pub(super) fn is_in(&self, group: u32) -> bool {
        group == 0 || self.groups.contains(&group)
    }

    /// Makes this the user of the process, for good. Only root can change it; otherwise, and where it is the user
    /// already, this does nothing.
    ///
    /// # Errors
    /// [`AssumeError`].
    pub fn assume(&self) -> Result<(), AssumeError> {
        if geteuid().as_raw() != 0 || self.uid == 0 {
            return Ok(());
        }
        // Linux changes one thread only. Threads that start later have the user of the thread that starts them.
        if std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() != 1) {
            return Err(AssumeError::Threads(self.uid));
        }
        let started_as = getuid().as_raw();
        self.change().map_err(|why| AssumeError::Refused { user: self.uid, why })?;
        let _ = REPLACED.set(started_as);
        Ok(())
    }

    fn change(&self) -> io::Result<()> {
        let groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        set_thread_groups(&groups)?;
        let gid = groups.first().copied();
        set_thread_res_gid(gid, gid, gid)?;
        let uid = Uid::from_raw(self.uid);
        Ok(set_thread_res_uid(uid, uid, uid)?)
    }
}

/// Returns the group of the user who owns this: that of the file, but never root's, whose files the user may not open.
fn group(found: &Stat) -> u32 {
    if found.st_gid != 0 {
        return found.st_gid;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    primary_group(&passwd, found.st_uid).unwrap_or(NOBODY)
}

/// Returns the group that a user logs in with, unless it is root's.
fn primary_group(passwd: &str, uid: u32) -> Option<u32> {
    let user = |line: &str| -> Option<(u32, u32)> {
        let mut ids = line.split(':').skip(2).map(str::parse);
        Some((ids.next()?.ok()?, ids.next()?.ok()?))
    };
    let (_, group) = passwd.lines().filter_map(user).find(|(id, _)| *id == uid)?;
    (group != 0).then_some(group)
}

/// Returns the user that this process had before it assumed another.
pub fn replaced_user() -> Option<u32> {
    REPLACED.get().copied()
}

/// Reason why the user of the process cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum AssumeError {
    /// The operating system refuses.
    #[error("the files belong to user {user}, and root cannot become that user here ({why}): run this as user {user}")]
    Refused { user: u32, why: io::Error },
    /// The process has further threads already.
    #[error("the files belong to user {0}: run this as that user")]
    Threads(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_a_user_is_that_of_its_login_and_never_roots() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n\nbad:x:1\na:x:998:997::/:/bin/sh\nb:x:5:0::/:/bin/sh\n";
        let groups = [998, 5, 1, 7].map(|uid| primary_group(passwd, uid));
        assert_eq!(groups, [Some(997), None, None, None]);
    }
}
