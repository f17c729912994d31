//! Folder of key files. Its owner and mode, and those of its files, obey the rule of [`crate::files`]. Links in it are
//! followed where they stay in it, as those of a mounted secret of Kubernetes do.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, fstat, linkat, openat, statat, unlinkat},
    io::Errno,
};
use zeroize::Zeroizing;

use crate::{
    custody::{Config, error::CustodyError},
    domain::shell::quoted_path,
    files::{Bounds, Breaches, MAX_SECRET_BYTES, Opened, Rule, Use, open_file, write_fault},
};

const NOT_PLAIN: &str = "the locator on record is not a plain file name: correct the record";

/// Folder whose owner and mode were checked when it was opened.
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    rule: Rule,
}

impl Folder {
    pub(super) fn open(config: &Config) -> Result<Self, CustodyError> {
        let path = config.dir.as_path();
        let rule = Rule::of_process(config.allow_world_readable);
        let shown = path.display().to_string();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|why| file_error(&shown, &cannot_open_folder(why, path)))?;
        check(&rule, &fd, path, Use::KeyFolder)?;
        Ok(Self { fd, path: path.to_owned(), rule })
    }

    /// Path of a file in the folder, for messages.
    pub(super) fn show(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    /// Returns whether there is a file, or anything else, of this name.
    pub(super) fn contains(&self, name: &str) -> Result<bool, CustodyError> {
        if !is_plain_name(name) {
            return Err(file_error(&self.show(name), NOT_PLAIN));
        }
        match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(why) => Err(file_error(&self.show(name), &why.to_string())),
        }
    }

    /// Reads a file into a buffer that never grows, so that no copy stays in memory.
    pub(super) fn read(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
        let shown = self.show(name);
        if !is_plain_name(name) {
            return Err(file_error(&shown, NOT_PLAIN));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Opened { file, by_link } =
            self.open_file(name, flags).map_err(|why| file_error(&shown, &cannot_open(&why)))?;
        check(&self.rule, &file, Path::new(&shown), Use::Secret)?;
        if by_link {
            refuse(self.rule.judge_links(&self.path.join(name)))?;
        }
        let stat = fstat(&file).map_err(|why| file_error(&shown, &why.to_string()))?;
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        if size > MAX_SECRET_BYTES {
            return Err(file_error(&shown, "larger than 64 KiB: this is no key file, put the right one back"));
        }
        read_exactly(file, size).map_err(|why| file_error(&shown, &why.to_string()))
    }

    /// Opens a file of the folder, to which a link of the folder may lead.
    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<Opened> {
        open_file(&self.fd, &self.path.join(name), flags, Bounds::Folder)
    }

    /// Writes a new file durably and atomically. `tag` makes the name of the unfinished file unique.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where the name is taken; that file is not changed.
    pub(super) fn write_new(&self, name: &str, tag: u64, bytes: &[u8]) -> io::Result<()> {
        let unfinished = unfinished(name, tag);
        let done = self.write_durably(&unfinished, bytes).and_then(|()| {
            // Unlike a rename, a link never replaces an existing file.
            linkat(&self.fd, &unfinished, &self.fd, name, AtFlags::empty()).map_err(io::Error::from)
        });
        let removed = unlinkat(&self.fd, &unfinished, AtFlags::empty());
        done?;
        removed?;
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// Replaces a file durably and atomically, once `is_proven` of what the new one is read back as. The bytes of the old
    /// one are overwritten, so far as [`Self::destroy`] can do that. A link is not replaced: who made it would restore it.
    ///
    /// # Errors
    /// The error of the system or of `is_proven`; the old file is still there then.
    pub(super) fn replace(
        &self,
        name: &str,
        tag: u64,
        bytes: &[u8],
        is_proven: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let old = File::from(openat(&self.fd, name, flags, Mode::empty()).map_err(not_replaceable)?);
        self.destroy_unfinished(name)?;
        let unfinished = unfinished(name, tag);
        let replaced = self.write_durably(&unfinished, bytes).and_then(|()| {
            let written = openat(&self.fd, &unfinished, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            is_proven(&read_exactly(written.into(), bytes.len())?)?;
            rustix::fs::renameat(&self.fd, &unfinished, &self.fd, name).map_err(io::Error::from)
        });
        if let Err(why) = replaced {
            let _ = unlinkat(&self.fd, &unfinished, AtFlags::empty());
            return Err(why);
        }
        rustix::fs::fsync(&self.fd)?;
        overwrite(&old)
    }

    /// Overwrites a file, then unlinks it, each durably. A disk that keeps old blocks, as flash does, may still hold
    /// the file; only the passphrase protects it there. Behind a link, the target is overwritten and emptied, and the
    /// link is unlinked. A missing file is a success.
    pub(super) fn destroy(&self, name: &str) -> Result<(), CustodyError> {
        let shown = self.show(name);
        if !is_plain_name(name) {
            return Err(file_error(&shown, NOT_PLAIN));
        }
        let done = match self.overwrite_and_unlink(name) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        };
        done.and_then(|()| self.destroy_unfinished(name))
            .map_err(|why| file_error(&shown, &not_destroyed(&self.path.join(name), &why)))
    }

    /// Destroys what writes of a file have left that a crash cut short.
    fn destroy_unfinished(&self, name: &str) -> io::Result<()> {
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            let found = entry.file_name().to_string_lossy();
            if file_of_unfinished(&found) == Some(name) {
                self.overwrite_and_unlink(&found)?;
            }
        }
        Ok(())
    }

    fn overwrite_and_unlink(&self, name: &str) -> io::Result<()> {
        // Without a wait where it is a pipe.
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Opened { file, by_link } = self.open_file(name, flags)?;
        overwrite(&file)?;
        if by_link {
            file.set_len(0)?;
            file.sync_all()?;
        }
        unlinkat(&self.fd, name, AtFlags::empty())?;
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    fn write_durably(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let private = Mode::RUSR | Mode::WUSR;
        let mut file = File::from(openat(&self.fd, name, flags, private)?);
        // The umask may have cleared bits.
        rustix::fs::fchmod(&file, private)?;
        file.write_all(bytes)?;
        file.sync_all()
    }
}

/// Name of a file that is not yet written as a whole.
fn unfinished(name: &str, tag: u64) -> String {
    format!(".{name}.{tag:016x}.tmp")
}

/// Name that an unfinished file would have got; `None` for the name of any other file.
pub(super) fn file_of_unfinished(unfinished: &str) -> Option<&str> {
    let (name, tag) = unfinished.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit_once('.')?;
    (tag.len() == 16 && tag.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(name)
}

/// Overwrites a file with zeros, durably.
fn overwrite(mut file: &File) -> io::Result<()> {
    let size = usize::try_from(fstat(file)?.st_size).unwrap_or(MAX_SECRET_BYTES).min(MAX_SECRET_BYTES);
    file.write_all(&vec![0; size])?;
    file.sync_all()
}

pub(super) fn file_error(path: &str, why: &str) -> CustodyError {
    CustodyError::File { path: path.to_owned(), why: why.to_owned() }
}

/// Fails where the file's owner or mode breaks the rule.
fn check(rule: &Rule, file: impl AsFd, path: &Path, purpose: Use) -> Result<(), CustodyError> {
    let breaches = rule
        .judge_open(file, path, purpose)
        .map_err(|why| file_error(&path.display().to_string(), &why.to_string()))?;
    refuse(breaches)
}

fn refuse(breaches: Breaches) -> Result<(), CustodyError> {
    if breaches.is_empty() { Ok(()) } else { Err(CustodyError::Access(breaches)) }
}

/// Returns true for the name of a file directly in the folder.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

fn cannot_open_folder(why: Errno, path: &Path) -> String {
    match why {
        Errno::NOENT => format!("there is no such folder: mkdir -m 700 {}", quoted_path(path)),
        Errno::ACCESS => format!(
            "user {} may not open it, or a folder above it: the folder and its files must be the service's own",
            rustix::process::geteuid().as_raw()
        ),
        Errno::NOTDIR => "is not a folder".to_owned(),
        why => why.to_string(),
    }
}

fn cannot_open(why: &io::Error) -> String {
    match Errno::from_io_error(why) {
        Some(Errno::NOENT) => "there is no such file: restore it from the backup".to_owned(),
        _ => why.to_string(),
    }
}

fn not_replaceable(why: Errno) -> io::Error {
    match why {
        Errno::LOOP => {
            io::Error::other("it is a link: encrypt the key where it comes from, or put the file itself there")
        }
        Errno::ROFS => io::Error::other("it is mounted read-only: encrypt the key where it comes from"),
        why => why.into(),
    }
}

fn not_destroyed(file: &Path, why: &io::Error) -> String {
    match Errno::from_io_error(why) {
        Some(Errno::ROFS) => format!(
            "the private half could not be destroyed: {why}: take the key out of what is mounted there, e.g. the Secret of \
             Kubernetes, then repeat; whoever may read that has the key until then"
        ),
        _ => format!("the private half could not be destroyed: {}", write_fault(file, why)),
    }
}

fn read_exactly(mut file: File, size: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; size]);
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destroyed_file_is_overwritten_and_gone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let folder = Folder::open(&Config { dir: dir.path().to_owned(), ..Config::default() }).unwrap();
        folder.write_new("k.pem", 1, b"private").unwrap();
        // A second name of the file shows its bytes after the first name is gone.
        std::fs::hard_link(dir.path().join("k.pem"), dir.path().join("copy")).unwrap();
        folder.destroy("k.pem").unwrap();
        assert!(!dir.path().join("k.pem").exists());
        assert_eq!(std::fs::read(dir.path().join("copy")).unwrap(), [0; 7]);
        folder.destroy("k.pem").unwrap();
        std::os::unix::fs::symlink(dir.path().join("copy"), dir.path().join("link")).unwrap();
        assert!(folder.destroy("link").is_err(), "a link that may leave the folder is not followed");
        assert!(folder.destroy("../k.pem").is_err());
    }

    #[test]
    fn what_a_crash_left_of_a_file_is_destroyed_with_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let folder = Folder::open(&Config { dir: dir.path().to_owned(), ..Config::default() }).unwrap();
        folder.write_new("k.pem", 1, b"private").unwrap();
        for (tag, copy) in [(2, "copy-2"), (3, "copy-3")] {
            folder.write_durably(&unfinished("k.pem", tag), b"private").unwrap();
            std::fs::hard_link(dir.path().join(unfinished("k.pem", tag)), dir.path().join(copy)).unwrap();
        }
        folder.write_durably(&unfinished("other.pem", 4), b"private").unwrap();
        folder.replace("k.pem", 5, b"again", |_| Ok(())).unwrap();
        assert_eq!(std::fs::read(dir.path().join("copy-2")).unwrap(), [0; 7]);
        folder.write_durably(&unfinished("k.pem", 6), b"private").unwrap();
        folder.destroy("k.pem").unwrap();
        let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".other.pem.0000000000000004.tmp", "copy-2", "copy-3"]);
        assert_eq!(file_of_unfinished(".k.pem.tmp"), None);
    }

    #[test]
    fn a_locator_stays_in_its_folder() {
        assert!(is_plain_name("abc.pem"));
        for name in ["", ".", "..", "../k.pem", "/etc/shadow", "a/b", "a\0b"] {
            assert!(!is_plain_name(name), "{name:?}");
        }
    }
}
