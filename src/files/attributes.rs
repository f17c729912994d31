//! Attributes of a file that the rule judges.

use std::{io, os::fd::BorrowedFd, path::Path};

use rustix::fs::{FileType, Stat, StatVfsMountFlags, fgetxattr, fstat, fstatvfs, getxattr, stat, statvfs};

use super::{
    acl::{ATTRIBUTE, AccessList},
    user::User,
};

/// Bits of one class of a mode.
pub(super) const READ: u32 = 0o4;
pub(super) const WRITE: u32 = 0o2;
const STICKY: u32 = 0o1000;
/// Most bytes of an access control list: some 500 entries.
const MAX_LIST: usize = 4096;

/// Owner, mode and mount of a file.
#[derive(Clone, Debug)]
pub(super) struct Attributes {
    pub(super) kind: FileType,
    pub(super) owner: u32,
    pub(super) group: u32,
    pub(super) mode: u32,
    /// Access control list; without one the mode says everything.
    pub(super) list: Option<AccessList>,
    /// The mount is read-only.
    pub(super) read_only: bool,
}

impl Attributes {
    pub(super) fn of_open(file: BorrowedFd<'_>) -> io::Result<Self> {
        let mut list = [0; MAX_LIST];
        let found = fgetxattr(file, ATTRIBUTE, &mut list[..]);
        let mount = fstatvfs(file).map(|mount| mount.f_flag);
        Ok(Self::new(&fstat(file)?, found.ok().and_then(|len| AccessList::parse(&list[..len])), mount))
    }

    pub(super) fn of_path(path: &Path) -> io::Result<Self> {
        let mut list = [0; MAX_LIST];
        let found = getxattr(path, ATTRIBUTE, &mut list[..]);
        let mount = statvfs(path).map(|mount| mount.f_flag);
        Ok(Self::new(&stat(path)?, found.ok().and_then(|len| AccessList::parse(&list[..len])), mount))
    }

    fn new(stat: &Stat, list: Option<AccessList>, mount: rustix::io::Result<StatVfsMountFlags>) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            owner: stat.st_uid,
            group: stat.st_gid,
            mode: stat.st_mode & 0o7777,
            list,
            read_only: mount.is_ok_and(|flags| flags.contains(StatVfsMountFlags::RDONLY)),
        }
    }

    pub(super) fn is_sticky(&self) -> bool {
        self.mode & STICKY != 0
    }

    /// Permissions of everybody. A right to execute a file counts as a right to read it.
    pub(super) fn others(&self) -> u32 {
        let others = self.mode & 0o7;
        if others & 0o1 != 0 && self.kind == FileType::RegularFile { others | READ } else { others }
    }

    /// Names a group or user, other than root and this user's, that has one of these permissions.
    pub(super) fn others_among_groups(&self, user: &User, refused: u32) -> Option<String> {
        if let Some(list) = &self.list {
            return list.foreign(self.group, user, refused);
        }
        let permissions = (self.mode >> 3) & 0o7;
        let has = permissions & refused != 0 || (permissions & 0o1 != 0 && refused & READ != 0);
        (has && !user.is_in(self.group)).then(|| format!("group {}", self.group))
    }
}
