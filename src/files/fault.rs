//! Faults of writes, with what to do about them.

use std::{io, path::Path};

use rustix::{
    fs::{Access, AtFlags, CWD},
    io::Errno,
    process::{Resource, geteuid, getrlimit},
};

use super::folder_of;
use crate::domain::shell::quoted_path;

/// Says why a file could not be written or made, and what to do where the cause is known.
pub fn write_fault(file: &Path, why: &io::Error) -> String {
    let folder = quoted_path(folder_of(file));
    let advice = match Errno::from_io_error(why) {
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => obstacle(file),
        Some(Errno::FBIG) => too_large(),
        Some(Errno::NOSPC) => Some(format!("make room (`df {folder}`)")),
        Some(Errno::DQUOT) => {
            Some(format!("the quota of user {} is used up: make room, or raise it", geteuid().as_raw()))
        }
        Some(Errno::NOENT) if !folder_of(file).exists() => {
            Some(format!("make its folder first (`mkdir -p {folder}`), or name another"))
        }
        _ => None,
    };
    advised(why, advice)
}

/// Says why output could not be written whose file is not known, and what to do where the cause is known.
pub fn output_fault(why: &io::Error) -> String {
    let advice = match Errno::from_io_error(why) {
        Some(Errno::FBIG) => too_large(),
        Some(Errno::NOSPC) => Some("make room where it is written".to_owned()),
        _ => None,
    };
    advised(why, advice)
}

fn advised(why: &io::Error, advice: Option<String>) -> String {
    advice.map_or_else(|| why.to_string(), |advice| format!("{why}: {advice}"))
}

/// Says why nobody, or not this user, can write a file or into its folder, and what to do; `None` where this user can.
pub fn obstacle(file: &Path) -> Option<String> {
    let file = std::path::absolute(file).ok()?;
    let refused = |path: &Path| rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).err();
    let found = [file.parent()?, &file].into_iter().find_map(|path| match refused(path)? {
        Errno::ROFS => Some(read_only(path)),
        Errno::ACCESS => Some(not_ours(path)),
        Errno::PERM => {
            Some(format!("{} is immutable (`lsattr` shows it): chattr -i {}", path.display(), quoted_path(path)))
        }
        _ => None,
    });
    found.or_else(|| if may_not_grow(&file) { too_large() } else { None })
}

fn read_only(path: &Path) -> String {
    let path = path.display();
    format!(
        "{path} is on a read-only mount: mount it for writing (`findmnt --target {path}` shows the mount; the kernel's \
         log says if it became read-only by itself); in a unit or a container it must be among the folders that can be written"
    )
}

fn not_ours(path: &Path) -> String {
    let (user, quoted) = (geteuid().as_raw(), quoted_path(path));
    let refused = format!("{} cannot be written by this user (uid {user})", path.display());
    match rustix::fs::stat(path) {
        Ok(found) if found.st_uid == user => {
            let mode = if path.is_dir() { "u+wx" } else { "u+w" };
            format!("{refused}, its owner: chmod {mode} {quoted}")
        }
        Ok(found) => {
            format!(
                "{refused}: give it to that user (chown {user} {quoted}), or run this as its owner, user {}",
                found.st_uid
            )
        }
        Err(_) => format!("{refused}, who may not enter a folder above it: run this as the user who may"),
    }
}

/// Returns true where the limit of a file's size leaves a file, or SQLite's log beside it, no room for a large write.
fn may_not_grow(file: &Path) -> bool {
    const LARGE: u64 = 1 << 20;
    let log = file.as_os_str().to_string_lossy() + "-wal";
    let size = [file, Path::new(&*log)].into_iter().filter_map(|file| Some(file.metadata().ok()?.len())).max();
    getrlimit(Resource::Fsize).current.is_some_and(|limit| limit < size.unwrap_or_default() + LARGE)
}

/// Says that the process may not write larger files, where there is a limit.
fn too_large() -> Option<String> {
    let limit = getrlimit(Resource::Fsize).current?;
    Some(format!(
        "this process may write files of at most {limit} bytes: raise the limit (`LimitFSIZE=` in a unit, `--ulimit fsize=` of \
         a container, `ulimit -f` in a shell)"
    ))
}
