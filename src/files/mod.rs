//! Files that other users of the machine must not read or change: one rule for owner, group and mode, and the reader of
//! files that people name.
//!
//! The rule. The owner is root or the user of the service. Permissions of a group count only where it is root's or one
//! of the service's own groups, so that Kubernetes' `fsGroup` works. Nobody else may write. A secret is read by nobody
//! else either, except on a read-only mount with `secrets.allow_world_readable` (Docker's secrets are 0444). An access
//! control list is judged entry by entry, because systemd's credentials have one. A link must stay on the mount of its
//! folder; its target is judged, and every link and folder on the way. `docs/deploy.md` has the table.

mod acl;
mod attributes;
mod fault;
mod links;
mod read;
mod text;
mod user;

use std::{
    fmt,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::fs::FileType;

use attributes::{Attributes, READ, WRITE};
use links::Way;

use crate::domain::shell::quoted_path;

pub use fault::{obstacle, output_fault, write_fault};
pub use links::{Bounds, Opened, open_file};
pub use read::{MAX_SECRET_BYTES, read_given};
pub use text::{NotText, text};
pub use user::{AssumeError, User, replaced_user};

/// Returns the folder of a file.
pub fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Use of a file or folder, which decides who may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// File that nobody else may read or write: a private key, a sealing secret, a passphrase, the store.
    Secret,
    /// File that everybody may read and nobody else may write: the configuration.
    Configuration,
    /// Folder in which nobody else may create files: the keys'.
    KeyFolder,
    /// Folder in which nobody else may replace files; the sticky bit prevents that too.
    Folder,
}

impl Use {
    fn is_folder(self) -> bool {
        matches!(self, Self::KeyFolder | Self::Folder)
    }

    /// Permissions that others must not have.
    fn refused(self) -> u32 {
        if self == Self::Secret { READ | WRITE } else { WRITE }
    }

    /// Command that takes the permissions of others away.
    fn remedy(self, path: &str) -> String {
        let path = quoted_path(Path::new(path));
        match self {
            Self::Secret => format!("chmod 600 {path}"),
            Self::Configuration | Self::KeyFolder | Self::Folder => format!("chmod go-w {path}"),
        }
    }
}

/// Breach of the rule: the file, the reason, and the command that mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    pub path: String,
    /// Reason and remedy.
    pub why: String,
    /// The owner breaks the rule, not the mode.
    pub of_owner: bool,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path, self.why)
    }
}

/// Breaches of the rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaches(pub Vec<Breach>);

impl Breaches {
    /// Returns true where nothing breaks the rule.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true where the owner of a folder breaks the rule: its files belong to that user too, and need no breaches
    /// of their own.
    pub fn are_of_owner(&self) -> bool {
        self.0.iter().any(|breach| breach.of_owner)
    }

    /// Adds further breaches. Two files may have one folder: its breach counts once.
    pub fn extend(&mut self, other: Self) {
        for breach in other.0 {
            if !self.0.contains(&breach) {
                self.0.push(breach);
            }
        }
    }
}

impl fmt::Display for Breaches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, breach)| {
            let separator = if index == 0 { "" } else { "\n  " };
            write!(f, "{separator}{breach}")
        })
    }
}

/// The rule, for one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    user: User,
    allow_world_readable: bool,
}

impl Rule {
    /// Rule for the files of this user.
    pub fn new(user: User, allow_world_readable: bool) -> Self {
        Self { user, allow_world_readable }
    }

    /// Rule for the files of the user of this process.
    pub fn of_process(allow_world_readable: bool) -> Self {
        Self::new(User::of_process(), allow_world_readable)
    }

    /// User whose files the rule judges.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Judges an open file.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn judge_open(&self, file: impl AsFd, shown: &Path, purpose: Use) -> std::io::Result<Breaches> {
        Ok(self.judge(&Attributes::of_open(file.as_fd())?, shown, purpose))
    }

    /// Judges the file at a path, without opening it, and the links that lead to it. A file that does not exist, or
    /// cannot be reached, breaks no rule: whoever opens it reports that.
    pub fn judge_path(&self, path: &Path, purpose: Use) -> Breaches {
        let found = Attributes::of_path(path).map(|found| self.judge(&found, path, purpose));
        let mut breaches = found.unwrap_or_default();
        if !purpose.is_folder() {
            breaches.extend(self.judge_links(path));
        }
        breaches
    }

    /// Judges the links that lead to a file, and the folders behind the first of them: who may change one of them
    /// chooses the file.
    pub fn judge_links(&self, path: &Path) -> Breaches {
        let way = Way::of(path);
        let us = self.user.uid();
        let foreign = way.links.into_iter().filter(|(_, owner)| *owner != 0 && *owner != us);
        let breach = |(link, owner): (PathBuf, u32)| {
            let remedy = format!("chown -h {us} {}", quoted_path(&link));
            let why = format!("is a link of user {owner}; only root and user {us} may own it: {remedy}");
            Breach { path: link.display().to_string(), why, of_owner: false }
        };
        let mut breaches = Breaches(foreign.map(breach).collect());
        for folder in way.folders {
            breaches.extend(self.judge_path(&folder, Use::Folder));
        }
        breaches
    }

    fn judge(&self, found: &Attributes, path: &Path, purpose: Use) -> Breaches {
        let shown = path.display().to_string();
        if found.kind != FileType::RegularFile && purpose == Use::Secret {
            let why = "is not a plain file: put the file itself there".to_owned();
            return Breaches(vec![Breach { path: shown, why, of_owner: false }]);
        }
        let owner = self.owner_complaint(found, &shown, purpose).map(|why| (why, true));
        let mode = self.mode_complaint(found, &shown, purpose).map(|why| (why, false));
        let breach = |(why, of_owner)| Breach { path: shown.clone(), why, of_owner };
        Breaches([owner, mode].into_iter().flatten().map(breach).collect())
    }

    fn owner_complaint(&self, found: &Attributes, path: &str, purpose: Use) -> Option<String> {
        let (owner, us) = (found.owner, self.user.uid());
        if owner == 0 || owner == us {
            return None;
        }
        Some(if purpose.is_folder() {
            // A new owner of the folder would take it away from the service.
            format!("belongs to user {owner}, and this is user {us}: run this as user {owner} or as root")
        } else {
            format!(
                "belongs to user {owner}; only root and user {us} may own it: chown {us} {}",
                quoted_path(Path::new(path))
            )
        })
    }

    fn mode_complaint(&self, found: &Attributes, path: &str, purpose: Use) -> Option<String> {
        if purpose == Use::Folder && (found.is_sticky() || found.read_only) {
            return None;
        }
        let mode = found.mode;
        let remedy = purpose.remedy(path);
        if let Some(group) = found.others_among_groups(&self.user, purpose.refused()) {
            return Some(format!("gives permissions to {group} (mode {mode:04o}): {remedy}"));
        }
        let others = found.others() & purpose.refused();
        if others & WRITE != 0 && !found.read_only {
            return Some(format!("may be changed by every user (mode {mode:04o}): {remedy}"));
        }
        if others & READ == 0 || (found.read_only && self.allow_world_readable) {
            return None;
        }
        let or = if found.read_only { ", or set `allow_world_readable = true` in [secrets]" } else { "" };
        Some(format!("may be read by every user (mode {mode:04o}): {remedy}{or}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{acl::AccessList, *};

    /// Service of user 998 in groups 998 and 2000.
    fn rule() -> Rule {
        Rule::new(User::of(998, &[998, 2000]), false)
    }

    fn attributes(owner: u32, group: u32, mode: u32) -> Attributes {
        Attributes { kind: FileType::RegularFile, owner, group, mode, list: None, read_only: false }
    }

    fn verdict(rule: &Rule, found: &Attributes, purpose: Use) -> String {
        rule.judge(found, Path::new("f"), purpose).to_string()
    }

    #[test]
    fn printed_commands_take_any_path() {
        let loose = rule().judge(&attributes(998, 998, 0o644), Path::new("my keys/a.pem"), Use::Secret).to_string();
        assert!(loose.ends_with("chmod 600 'my keys/a.pem'"), "{loose}");
    }

    #[test]
    fn files_of_root_and_of_the_service_are_accepted() {
        for (found, purpose) in [
            (attributes(998, 998, 0o600), Use::Secret),
            (attributes(0, 0, 0o400), Use::Secret),
            // Credentials of systemd, without and with a list.
            (attributes(0, 0, 0o440), Use::Secret),
            // `fsGroup` of Kubernetes: files that were 0600, and a read-only volume.
            (attributes(0, 2000, 0o440), Use::Secret),
            (attributes(0, 2000, 0o640), Use::Secret),
            (attributes(998, 2000, 0o660), Use::Secret),
            (attributes(998, 998, 0o644), Use::Configuration),
            (attributes(0, 0, 0o664), Use::Configuration),
        ] {
            assert_eq!(verdict(&rule(), &found, purpose), "", "{found:?} {purpose:?}");
        }
    }

    #[test]
    fn a_secret_that_others_may_open_is_named_with_the_command() {
        let table = [
            (attributes(998, 998, 0o604), "f may be read by every user (mode 0604): chmod 600 f"),
            (attributes(998, 998, 0o601), "f may be read by every user (mode 0601): chmod 600 f"),
            (attributes(998, 998, 0o602), "f may be changed by every user (mode 0602): chmod 600 f"),
            (attributes(998, 998, 0o666), "f may be changed by every user (mode 0666): chmod 600 f"),
            (attributes(998, 100, 0o640), "f gives permissions to group 100 (mode 0640): chmod 600 f"),
            (attributes(998, 100, 0o610), "f gives permissions to group 100 (mode 0610): chmod 600 f"),
            (attributes(1001, 998, 0o600), "f belongs to user 1001; only root and user 998 may own it: chown 998 f"),
        ];
        for (found, text) in table {
            assert_eq!(verdict(&rule(), &found, Use::Secret), text, "{found:?}");
        }
        let both = rule().judge(&attributes(1001, 998, 0o666), Path::new("f"), Use::Secret);
        assert_eq!(both.0.len(), 2, "{both}");
        let pipe = Attributes { kind: FileType::Fifo, ..attributes(998, 998, 0o600) };
        assert!(verdict(&rule(), &pipe, Use::Secret).contains("not a plain file"));
    }

    #[test]
    fn a_secret_that_everybody_may_read_needs_a_read_only_mount_and_the_setting() {
        let mounted = Attributes { read_only: true, ..attributes(0, 0, 0o444) };
        let allowed = Rule { allow_world_readable: true, ..rule() };
        assert!(verdict(&rule(), &mounted, Use::Secret).ends_with("set `allow_world_readable = true` in [secrets]"));
        assert_eq!(verdict(&allowed, &mounted, Use::Secret), "");
        assert!(verdict(&allowed, &attributes(0, 0, 0o444), Use::Secret).ends_with("chmod 600 f"));
        let foreign = Attributes { owner: 1001, ..mounted };
        assert!(verdict(&allowed, &foreign, Use::Secret).contains("belongs to user 1001"));
    }

    #[test]
    fn only_root_and_the_service_write_to_folders_and_the_configuration() {
        let folder = |owner, group, mode| Attributes { kind: FileType::Directory, ..attributes(owner, group, mode) };
        for found in [folder(998, 998, 0o700), folder(0, 0, 0o755), folder(0, 2000, 0o2775), folder(998, 998, 0o775)] {
            for purpose in [Use::Folder, Use::KeyFolder] {
                assert_eq!(verdict(&rule(), &found, purpose), "", "{found:?}");
            }
        }
        for found in [folder(998, 100, 0o770), folder(998, 998, 0o702), folder(998, 998, 0o777)] {
            for purpose in [Use::Folder, Use::KeyFolder] {
                assert!(verdict(&rule(), &found, purpose).ends_with("chmod go-w f"), "{found:?}");
            }
        }
        assert_eq!(verdict(&rule(), &folder(0, 0, 0o1777), Use::Folder), "");
        assert!(verdict(&rule(), &folder(0, 0, 0o1777), Use::KeyFolder).ends_with("chmod go-w f"));
        let foreign = verdict(&rule(), &folder(1001, 1001, 0o700), Use::Folder);
        assert!(foreign.ends_with("run this as user 1001 or as root"), "no chown takes it from its service: {foreign}");
        assert!(verdict(&rule(), &attributes(998, 998, 0o646), Use::Configuration).ends_with("chmod go-w f"));
    }

    #[test]
    fn each_entry_of_an_access_control_list_is_judged() {
        let list = |entries: &[(u16, u16, u32)]| {
            let mut bytes = vec![2, 0, 0, 0];
            for (tag, permissions, id) in entries {
                bytes.extend(tag.to_le_bytes());
                bytes.extend(permissions.to_le_bytes());
                bytes.extend(id.to_le_bytes());
            }
            AccessList::parse(&bytes)
        };
        let with = |user: u32, mask: u16| {
            let entries =
                [(1, 4, u32::MAX), (2, 4, user), (4, 0, u32::MAX), (0x10, mask, u32::MAX), (0x20, 0, u32::MAX)];
            Attributes { list: list(&entries), ..attributes(0, 100, 0o440) }
        };
        assert_eq!(verdict(&rule(), &with(998, 4), Use::Secret), "", "a credential of systemd");
        assert!(verdict(&rule(), &with(1001, 4), Use::Secret).starts_with("f gives permissions to user 1001"));
        assert_eq!(verdict(&rule(), &with(1001, 0), Use::Secret), "", "the mask takes the entry's permissions away");
        assert_eq!(AccessList::parse(&[2, 0, 0, 0, 1]), None);
    }
}
