//! Symbolic links to files. Kubernetes mounts a secret as `secret -> ..data/secret` and `..data -> ..2026_…/`, and
//! replaces `..data` by a rename.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStringExt as _,
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, fstat, lstat, open, openat, openat2, readlink, stat},
    io::Errno,
};

use super::folder_of;
use crate::domain::shell::quoted_path;

/// Most links on the way to a file, as the kernel follows them.
const MAX_LINKS: usize = 40;
/// Most attempts where the kernel cannot tell, because of a rename in between, that a link stays where it must.
const MAX_ATTEMPTS: usize = 16;

/// Place that a link must not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounds {
    /// Mount of the folder in which the link stands.
    Mount,
    /// The folder itself, on its mount.
    Folder,
}

/// Open file.
pub struct Opened {
    pub file: File,
    /// A link led to it.
    pub by_link: bool,
}

/// Opens the file at this path, of which `folder` is the folder. Of links it follows those that stay within the bounds.
///
/// # Errors
/// The error of the operating system, or a link that leaves the bounds, with what to do.
pub fn open_file(folder: impl AsFd, path: &Path, flags: OFlags, bounds: Bounds) -> io::Result<Opened> {
    let (folder, name) = (folder.as_fd(), path.file_name().unwrap_or(OsStr::new(".")));
    // What is no link may be a mount of its own: Docker and `subPath` of Kubernetes mount single files.
    match openat(folder, name, flags | OFlags::NOFOLLOW, Mode::empty()) {
        Err(Errno::LOOP) => Ok(Opened { file: follow(folder, path, flags, bounds)?, by_link: true }),
        opened => Ok(Opened { file: opened?.into(), by_link: false }),
    }
}

fn follow(folder: BorrowedFd<'_>, path: &Path, flags: OFlags, bounds: Bounds) -> io::Result<File> {
    let name = path.file_name().unwrap_or(OsStr::new("."));
    let beneath = if bounds == Bounds::Folder { ResolveFlags::BENEATH } else { ResolveFlags::empty() };
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS | beneath;
    let mut attempts = (0..MAX_ATTEMPTS).map(|_| openat2(folder, name, flags, Mode::empty(), resolve));
    let opened = attempts.find(|opened| !matches!(opened, Err(Errno::AGAIN))).unwrap_or(Err(Errno::AGAIN));
    match opened {
        // The kernel is older than 5.6, or a container's filter of that time hides the call.
        Err(Errno::NOSYS | Errno::PERM) => follow_without_openat2(folder, path, flags, bounds),
        Err(Errno::XDEV) if bounds == Bounds::Mount => follow_from_root(path, flags),
        Err(Errno::XDEV | Errno::LOOP) => Err(outside(path, bounds)),
        Err(Errno::NOENT) => Err(dangling()),
        opened => Ok(opened?.into()),
    }
}

/// Follows an absolute link, which the kernel takes for one that leaves the mount unless it begins at a root that the call
/// names. The whole way must be on the mount of `/`.
fn follow_from_root(path: &Path, flags: OFlags) -> io::Result<File> {
    let place = folder_of(path).canonicalize()?.join(path.file_name().unwrap_or(OsStr::new(".")));
    let root = open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    match openat2(root, place, flags, Mode::empty(), resolve) {
        Err(Errno::XDEV | Errno::LOOP) => Err(outside(path, Bounds::Mount)),
        Err(Errno::NOENT) => Err(dangling()),
        opened => Ok(opened?.into()),
    }
}

/// Like [`follow`], by a look at every step before the file is opened. Only those who may write to a folder on the way
/// can change it in between, and the rule refuses a folder to which others may write. Mounts are told apart by their
/// devices.
fn follow_without_openat2(folder: BorrowedFd<'_>, path: &Path, flags: OFlags, bounds: Bounds) -> io::Result<File> {
    let device = fstat(folder)?.st_dev;
    let way = Way::of(path);
    let top = folder_of(path).canonicalize()?;
    let is_within = |step: &PathBuf| {
        stat(step).is_ok_and(|found| found.st_dev == device)
            && (bounds == Bounds::Mount || step.canonicalize().is_ok_and(|step| step.starts_with(&top)))
    };
    match stat(&way.end) {
        Err(Errno::NOENT) => return Err(dangling()),
        Ok(found) if found.st_dev == device && way.folders.iter().all(is_within) => {}
        _ => return Err(outside(path, bounds)),
    }
    match openat(folder, path.file_name().unwrap_or(OsStr::new(".")), flags, Mode::empty()) {
        Ok(file) if fstat(&file)?.st_dev == device => Ok(file.into()),
        Ok(_) | Err(Errno::LOOP) => Err(outside(path, bounds)),
        Err(why) => Err(why.into()),
    }
}

fn outside(path: &Path, bounds: Bounds) -> io::Error {
    let text = match bounds {
        Bounds::Mount => format!(
            "is a link that leaves the mount of its folder, or leads in a circle: name the file itself, whose path \
             `readlink -f {}` prints, or put it there",
            quoted_path(path)
        ),
        Bounds::Folder => "is a link that leaves its folder or the folder's mount, or leads in a circle: put the file \
                           itself there"
            .to_owned(),
    };
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn dangling() -> io::Error {
    let text = "is a link to a file that does not exist: put that file back, or remove the link";
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Links and folders on the way to a file. Whoever may change one of them chooses the file.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// Each link, with its owner.
    pub(super) links: Vec<(PathBuf, u32)>,
    /// Folders after the first link.
    pub(super) folders: Vec<PathBuf>,
    /// The file, or the place where the way ends.
    pub(super) end: PathBuf,
}

impl Way {
    /// Way to the file at a path, from the folder in which the path has it.
    pub(super) fn of(path: &Path) -> Self {
        let mut way = Self { end: folder_of(path).to_owned(), ..Self::default() };
        let mut names: VecDeque<OsString> = path.file_name().map(OsStr::to_owned).into_iter().collect();
        while let Some(name) = names.pop_front() {
            if !way.links.is_empty() && !way.folders.contains(&way.end) {
                way.folders.push(way.end.clone());
            }
            // An absolute link begins with the name `/`, with which `join` begins anew.
            let next = way.end.join(&name);
            let Ok(target) = readlink(&next, Vec::new()) else {
                way.end = next;
                continue;
            };
            if way.links.len() == MAX_LINKS {
                break;
            }
            way.links.push((next.clone(), lstat(&next).map_or(0, |found| found.st_uid)));
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            let steps = target.components().filter(|step| *step != Component::CurDir);
            for (index, step) in steps.enumerate() {
                names.insert(index, step.as_os_str().to_owned());
            }
        }
        way
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, os::unix::fs::symlink};

    use super::*;

    const FLAGS: OFlags = OFlags::RDONLY;

    /// Function that follows a link.
    type Follow = fn(BorrowedFd<'_>, &Path, OFlags, Bounds) -> io::Result<File>;

    /// Content of the file to which a link leads, or the first words of the refusal.
    fn content(follow: Follow, path: &Path, bounds: Bounds) -> String {
        let folder = File::open(folder_of(path)).unwrap();
        let mut text = String::new();
        match follow(folder.as_fd(), path, FLAGS, bounds) {
            Ok(mut file) => file.read_to_string(&mut text).map(|_| text).unwrap(),
            Err(why) => why.to_string().split_inclusive(' ').take(5).collect::<String>().trim_end().to_owned(),
        }
    }

    #[test]
    fn a_link_stays_within_its_bounds_with_and_without_openat2() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = folder.path().join("secrets");
        fs::create_dir_all(secrets.join("..2026")).unwrap();
        fs::write(secrets.join("..2026/a"), "inside").unwrap();
        fs::write(folder.path().join("b"), "beside").unwrap();
        let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::write(elsewhere.path().join("c"), "elsewhere").unwrap();
        symlink("..2026", secrets.join("..data")).unwrap();
        let table: &[(&str, &Path, &str, &str)] = &[
            ("mounted", Path::new("..data/a"), "inside", "inside"),
            ("roundabout", Path::new("./..2026/../..data/./a"), "inside", "inside"),
            ("beside", Path::new("../b"), "beside", "is a link that leaves"),
            ("again", Path::new("beside"), "beside", "is a link that leaves"),
            ("device", &elsewhere.path().join("c"), "is a link that leaves", "is a link that leaves"),
            ("magic", Path::new("/proc/self/exe"), "is a link that leaves", "is a link that leaves"),
            ("circle", Path::new("circle"), "is a link that leaves", "is a link that leaves"),
            ("nowhere", Path::new("..data/z"), "is a link to a", "is a link to a"),
        ];
        for (name, target, on_mount, in_folder) in table {
            symlink(target, secrets.join(name)).unwrap();
            for follow in [follow as Follow, follow_without_openat2] {
                for (bounds, expected) in [(Bounds::Mount, on_mount), (Bounds::Folder, in_folder)] {
                    assert_eq!(content(follow, &secrets.join(name), bounds), *expected, "{name} {bounds:?}");
                }
            }
        }
    }

    #[test]
    fn the_way_has_every_link_and_every_folder_after_the_first_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("..2026")).unwrap();
        fs::write(at("..2026/a"), "").unwrap();
        symlink("..2026", at("..data")).unwrap();
        symlink("..data/a", at("a")).unwrap();
        let way = Way::of(&at("a"));
        assert_eq!(way.links.into_iter().map(|(link, _)| link).collect::<Vec<_>>(), [at("a"), at("..data")]);
        assert_eq!((way.folders, way.end), (vec![folder.path().to_owned(), at("..2026")], at("..2026/a")));
        symlink(at("a"), at("absolute")).unwrap();
        let way = Way::of(&at("absolute"));
        assert!(way.folders.contains(&PathBuf::from("/")) && way.folders.contains(&at("..2026")), "{way:?}");
        assert!(Way::of(&at("..2026/a")).folders.is_empty());
    }
}
