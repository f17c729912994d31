//! Bootstrap of a new installation: folder, configuration, sealing secret. Nothing is ever overwritten. One that fails
//! removes what it made, and one that was killed can be repeated.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{Ambient, OpenError, Services};
use crate::{
    config::Settings,
    domain::sealing::SealingSecrets,
    files::{folder_of, write_fault},
    secret::{Secret, SystemEntropy, random},
    store::StoreError,
};

/// Paths of the parts of an installation.
#[derive(Clone, Debug)]
pub struct Layout {
    pub config: PathBuf,
    pub sealing_secret: PathBuf,
    /// Folder of the key files; `None` where the store keeps the keys.
    pub keys: Option<PathBuf>,
}

impl Layout {
    /// Default paths in `folder`.
    pub fn of(folder: &Path) -> Self {
        Self {
            config: folder.join("countersign.toml"),
            sealing_secret: folder.join("sealing.secret"),
            keys: Some(folder.join("keys")),
        }
    }

    /// Creates the configuration with this text, a sealing secret and an empty key folder.
    ///
    /// # Errors
    /// As [`Layout::begin`] and [`Bootstrap::finish`].
    pub fn create(&self, config: &str) -> io::Result<()> {
        self.begin(config)?.finish()
    }

    /// Makes a draft of the configuration with this text, a sealing secret and a key folder. Only their owner can read
    /// them. A secret and a folder that a killed bootstrap left are kept.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where the configuration exists already: nothing is written then. Otherwise the
    /// error of the operating system, with the path.
    pub fn begin(&self, config: &str) -> io::Result<Bootstrap> {
        self.refuse_existing()?;
        let draft = unfinished(&self.config);
        let mut bootstrap = Bootstrap { layout: self.clone(), draft, made: Vec::new(), kept: false, lock: None };
        if let Some(folder) = self.config.parent() {
            bootstrap.make_folders(folder, DirBuilder::new().mode(0o777))?;
        }
        let (path, opened) = if let Some(keys) = &self.keys {
            bootstrap.make_folders(keys, DirBuilder::new().mode(0o700))?;
            (keys.clone(), fs::File::open(keys))
        } else {
            // Not the folder of the configuration: a new store locks that.
            let file = self.lock_file();
            let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&file);
            (file, opened)
        };
        let lock = opened.and_then(|opened| opened.lock().map(|()| opened));
        bootstrap.lock = Some(lock.map_err(|why| at(&path, &why))?);
        // Another bootstrap may have been at work until now.
        self.refuse_existing()?;
        if self.sealing_secret.symlink_metadata().is_err() {
            let secret = Secret::new(random::<32>(&SystemEntropy).map_err(io::Error::other)?);
            let unfinished = unfinished(&self.sealing_secret);
            bootstrap.write(&unfinished, SealingSecrets::line(1, &secret).as_bytes())?;
            put_in_place(&unfinished, &self.sealing_secret)?;
            bootstrap.made.push(Made::File(self.sealing_secret.clone()));
        }
        bootstrap.write(&unfinished(&self.config), config.as_bytes())?;
        Ok(bootstrap)
    }

    /// File that a bootstrap without a key folder locks.
    fn lock_file(&self) -> PathBuf {
        let mut path = self.config.as_os_str().to_owned();
        path.push(".lock");
        path.into()
    }

    fn refuse_existing(&self) -> io::Result<()> {
        if self.config.symlink_metadata().is_err() {
            return Ok(());
        }
        let text = format!("{} exists already; nothing was written", self.config.display());
        Err(io::Error::new(io::ErrorKind::AlreadyExists, text))
    }
}

/// Path of a file until it is complete.
fn unfinished(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".new");
    path.into()
}

/// Gives a complete file its name.
fn put_in_place(unfinished: &Path, path: &Path) -> io::Result<()> {
    // Unlike a rename, a link never replaces an existing file.
    fs::hard_link(unfinished, path).map_err(|why| at(path, &why))?;
    fs::remove_file(unfinished).map_err(|why| at(unfinished, &why))
}

/// Installation that is not complete yet. When it is dropped, everything that it made is removed, unless it was
/// finished.
pub struct Bootstrap {
    layout: Layout,
    draft: PathBuf,
    /// Files and folders that did not exist before.
    made: Vec<Made>,
    kept: bool,
    /// Key folder, or a file in its stead, locked until this is dropped: what another bootstrap makes meanwhile is not
    /// taken for this one's.
    lock: Option<fs::File>,
}

/// File or folder to remove.
enum Made {
    File(PathBuf),
    Folder(PathBuf),
    /// Files in a folder, except those that were there.
    FilesIn(PathBuf, BTreeSet<PathBuf>),
}

impl Bootstrap {
    /// Path of the configuration, to load it.
    pub fn draft(&self) -> &Path {
        &self.draft
    }

    /// Takes note of the store and the keys that the next steps make.
    pub fn expect(&mut self, settings: &Settings) {
        let store = settings.store();
        for suffix in ["-shm", "-wal", ""] {
            let mut file = store.path.clone().into_os_string();
            file.push(suffix);
            if store.url.is_none() && fs::symlink_metadata(&file).is_err() {
                self.made.push(Made::File(file.into()));
            }
        }
        let keys = settings.custody().dir;
        let present = files_in(&keys).collect();
        self.made.push(Made::FilesIn(keys, present));
    }

    /// Creates the store, or takes the one that a killed bootstrap has made, and opens it with the keys.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn services(&mut self, settings: &Settings, ambient: Ambient) -> Result<Services, OpenError> {
        let is_database = settings.store().url.is_some();
        match Services::create_store(settings, &ambient).await {
            Ok(()) if is_database => self.keep_secrets(),
            Ok(()) | Err(OpenError::Store(StoreError::Exists { .. })) => {}
            Err(why) => return Err(why),
        }
        let services = Services::open(settings, ambient).await?;
        if is_database {
            self.keep_secrets();
        }
        Ok(services)
    }

    /// Keeps everything but the draft of the configuration, also where the bootstrap fails, as where it is killed: what
    /// is in a database stays there, and is of use only with this secret and these keys. The bootstrap can be repeated.
    fn keep_secrets(&mut self) {
        let draft = self.draft.clone();
        self.made.retain(|made| matches!(made, Made::File(path) if *path == draft));
    }

    /// Makes the draft the configuration, and keeps everything.
    ///
    /// # Errors
    /// Somebody else made a configuration meanwhile, or the error of the operating system.
    pub fn finish(mut self) -> io::Result<()> {
        let placed = put_in_place(&self.draft, &self.layout.config);
        // Where only the draft could not be removed, the installation is complete.
        self.kept = self.layout.config.symlink_metadata().is_ok();
        placed?;
        fs::File::open(folder_of(&self.layout.config)).and_then(|folder| folder.sync_all())
    }

    /// Makes a folder and those above it that do not exist.
    fn make_folders(&mut self, folder: &Path, builder: &DirBuilder) -> io::Result<()> {
        if folder.as_os_str().is_empty() || folder.is_dir() {
            return Ok(());
        }
        if let Some(above) = folder.parent() {
            self.make_folders(above, builder)?;
        }
        match builder.create(folder) {
            Ok(()) => self.made.push(Made::Folder(folder.to_owned())),
            // Another bootstrap made it meanwhile.
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(why) => return Err(at(folder, &why)),
        }
        Ok(())
    }

    /// Writes an unfinished file, in place of one that a killed bootstrap left.
    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(at(path, &why)),
            _ => {}
        }
        self.made.push(Made::File(path.to_owned()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(|why| at(path, &why))
    }
}

impl Drop for Bootstrap {
    fn drop(&mut self) {
        if self.layout.keys.is_none() {
            drop(fs::remove_file(self.layout.lock_file()));
        }
        if self.kept {
            return;
        }
        // The error that led here is reported already; a folder with other files stays.
        for made in self.made.iter().rev() {
            match made {
                Made::File(path) => drop(fs::remove_file(path)),
                Made::Folder(path) => drop(fs::remove_dir(path)),
                Made::FilesIn(folder, present) => {
                    for file in files_in(folder).filter(|file| !present.contains(file)) {
                        drop(fs::remove_file(file));
                    }
                }
            }
        }
    }
}

fn files_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|file| Some(file.ok()?.path()))
}

/// Names the path of an error, and says what to do about it.
fn at(path: &Path, why: &io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("{}: {}", path.display(), write_fault(path, why)))
}
