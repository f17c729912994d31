//! Custody in files: a folder with one file `<kid>.pem` for each key, encrypted where there is a passphrase.

mod folder;
mod rewrap;

use std::{collections::BTreeSet, io, path::Path, sync::Arc};

use zeroize::Zeroizing;

use self::folder::{Folder, file_error, file_of_unfinished};
use super::{
    Config,
    admission::{self, AdmittedKey, PublicHalf},
    error::CustodyError,
    format,
};
use crate::{
    domain::{
        ids::{InstallationId, Kid},
        key::KeyRecord,
    },
    files::{Breaches, Rule, Use, write_fault},
    secret::{Entropy, random},
};

/// Name of the file with the id of the installation.
const INSTALLATION_ID: &str = "installation.id";

/// Key files of a folder.
pub(super) struct KeyFiles {
    config: Config,
    entropy: Arc<dyn Entropy>,
}

impl KeyFiles {
    /// Names the folder. Each use opens and checks it.
    pub(super) fn new(config: Config, entropy: Arc<dyn Entropy>) -> Self {
        Self { config, entropy }
    }

    /// Checks the folder.
    pub(super) fn check(&self) -> Result<(), CustodyError> {
        Folder::open(&self.config).map(drop)
    }

    fn passphrase(&self) -> Option<&str> {
        self.config.passphrase.as_ref().map(|passphrase| passphrase.expose().as_str())
    }

    /// Writes the key's file, and returns its name. A file that holds the same key already is a success: an import may be
    /// repeated after a crash.
    pub(super) fn keep(&self, key: &PublicHalf, pkcs1: &[u8]) -> Result<String, CustodyError> {
        let folder = Folder::open(&self.config)?;
        let locator = file_of(&key.kid);
        let shown = folder.show(&locator);
        let sealed = format::pkcs8::seal(pkcs1, self.passphrase(), &*self.entropy)
            .map_err(|why| file_error(&shown, &why.to_string()))?;
        match self.write_new(&folder, &locator, sealed.as_bytes()) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => self.check_existing(&folder, &locator, key)?,
            done => done.map_err(|why| {
                let why = write_fault(Path::new(&shown), &why);
                file_error(&shown, &format!("the key could not be written: {why}"))
            })?,
        }
        Ok(locator)
    }

    /// Checks that the existing file holds this key, encrypted as it would be encrypted now.
    fn check_existing(&self, folder: &Folder, locator: &str, key: &PublicHalf) -> Result<(), CustodyError> {
        let bytes = folder.read(locator)?;
        let encrypted = admission::is_encrypted(&bytes);
        match self.admit(folder, locator, &bytes) {
            Ok((held, _)) if held.public == *key && encrypted == self.passphrase().is_some() => Ok(()),
            _ => Err(file_error(
                &folder.show(locator),
                "is there already, but unencrypted, under another passphrase or damaged; nothing was written: \
                 move it away, then repeat",
            )),
        }
    }

    fn write_new(&self, folder: &Folder, name: &str, bytes: &[u8]) -> io::Result<()> {
        let tag = random::<8>(&*self.entropy).map_err(io::Error::other)?;
        folder.write_new(name, u64::from_be_bytes(tag), bytes)
    }

    /// Notes in the folder that the key was destroyed on purpose, and in which state: an older store that is restored
    /// does not know it.
    fn note_destroyed(&self, folder: &Folder, record: &KeyRecord) -> io::Result<()> {
        let text = format!("{}\n", record.state.as_str());
        match self.write_new(folder, &destroyed(record), text.as_bytes()) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done,
        }
    }

    /// Admits the key in a file; returns it with the PKCS#1 that it was read from.
    fn admit(
        &self,
        folder: &Folder,
        locator: &str,
        bytes: &[u8],
    ) -> Result<(AdmittedKey, Zeroizing<Vec<u8>>), CustodyError> {
        admission::read(bytes, self.passphrase())
            .and_then(|pkcs1| admission::admit(&pkcs1, &*self.entropy).map(|key| (key, pkcs1)))
            .map_err(|source| CustodyError::Unfit { path: folder.show(locator), source })
    }

    /// Loads the key of this record; returns it with the PKCS#1 that it was read from.
    pub(super) fn load(&self, record: &KeyRecord) -> Result<(AdmittedKey, Zeroizing<Vec<u8>>), CustodyError> {
        let folder = Folder::open(&self.config)?;
        if !folder.contains(&record.locator)? {
            return Err(file_error(&folder.show(&record.locator), &missing(&folder, record)?));
        }
        self.admit(&folder, &record.locator, &folder.read(&record.locator)?)
    }

    /// Path of a file, for messages.
    pub(super) fn show(&self, locator: &str) -> String {
        self.config.dir.join(locator).display().to_string()
    }

    /// Destroys the file of a record, and says so in the folder.
    pub(super) fn destroy(&self, record: &KeyRecord) -> Result<(), CustodyError> {
        let folder = Folder::open(&self.config)?;
        folder.destroy(&record.locator)?;
        // The private half is gone, which is what counts: a full disk must not make this a failure.
        if let Err(why) = self.note_destroyed(&folder, record) {
            tracing::warn!(kid = %record.kid, %why, "the folder does not say that the key was destroyed");
        }
        Ok(())
    }

    /// Erases a file without a word: the key goes on elsewhere. A missing folder has no file.
    pub(super) fn erase(&self, locator: &str) -> Result<(), CustodyError> {
        if self.is_missing() { Ok(()) } else { Folder::open(&self.config)?.destroy(locator) }
    }

    /// True where there is no folder.
    fn is_missing(&self) -> bool {
        std::fs::symlink_metadata(&self.config.dir).is_err_and(|why| why.kind() == io::ErrorKind::NotFound)
    }

    /// Configuration of custody.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Keeps the id of the installation, durably. One that is kept already stays.
    pub(super) fn adopt_installation_id(&self, id: InstallationId) -> Result<(), CustodyError> {
        let folder = Folder::open(&self.config)?;
        match self.write_new(&folder, INSTALLATION_ID, format!("{id}\n").as_bytes()) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                let shown = folder.show(INSTALLATION_ID);
                Err(file_error(&shown, &write_fault(Path::new(&shown), &why)))
            }
            _ => Ok(()),
        }
    }

    /// Names of all key files, also of those that a crash left unfinished. A missing folder has none.
    pub(super) fn names(&self) -> Result<BTreeSet<String>, CustodyError> {
        if self.is_missing() {
            return Ok(BTreeSet::new());
        }
        key_files(&self.config.dir).map_err(|why| file_error(&self.config.dir.display().to_string(), &why.to_string()))
    }
}

/// Id of the installation that a folder belongs to.
pub(super) fn installation_id(config: &Config) -> Result<Option<InstallationId>, CustodyError> {
    let folder = Folder::open(config)?;
    if !folder.contains(INSTALLATION_ID)? {
        return Ok(None);
    }
    let text = folder.read(INSTALLATION_ID)?;
    let id = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
    let damaged = "holds no installation id, which is 32 hexadecimal digits: restore it from a backup of the folder";
    id.map(Some).ok_or_else(|| file_error(&folder.show(INSTALLATION_ID), damaged))
}

/// Name of the file of a key.
pub(super) fn file_of(kid: &Kid) -> String {
    format!("{kid}.pem")
}

/// Name of the file that says that a key was destroyed on purpose.
fn destroyed(record: &KeyRecord) -> String {
    format!("{}.destroyed", record.locator)
}

/// Says why the file of a key is missing, as far as record and folder tell, and what to do.
fn missing(folder: &Folder, record: &KeyRecord) -> Result<String, CustodyError> {
    let note = destroyed(record);
    let state = if folder.contains(&note)? {
        String::from_utf8_lossy(&folder.read(&note)?).trim().to_owned()
    } else if record.state.is_held() {
        return Ok(format!(
            "there is no such file: restore it from the backup of the folder; without one, or where the key may be \
             known to somebody else: `countersign rotate run --ring {}`",
            record.ring
        ));
    } else {
        record.state.as_str().to_owned()
    };
    let again = match state.as_str() {
        "compromised" => format!("`countersign keys compromise {}` stops the key here too", record.kid),
        _ => format!("`countersign rotate run --ring {}` replaces the key", record.ring),
    };
    Ok(format!("was destroyed on purpose, when the key was {state}: do not bring it back; {again}"))
}

/// Names of the key files in a folder, also of those that a crash left unfinished.
fn key_files(folder: &Path) -> io::Result<BTreeSet<String>> {
    let names = std::fs::read_dir(folder)?.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let names = names.map(|name| file_of_unfinished(&name).map(str::to_owned).unwrap_or(name));
    let is_key = |name: &String| name.strip_suffix(".pem").is_some_and(|kid| kid.parse::<Kid>().is_ok());
    Ok(names.filter(is_key).collect())
}

/// Breaches of the rule for owners and modes, in the folder of the keys and all key files.
pub(super) fn breaches(config: &Config, rule: &Rule) -> Breaches {
    let mut breaches = rule.judge_path(&config.dir, Use::KeyFolder);
    if !breaches.are_of_owner() {
        let marker = config.dir.join(INSTALLATION_ID).exists().then(|| INSTALLATION_ID.to_owned());
        for name in key_files(&config.dir).unwrap_or_default().into_iter().chain(marker) {
            breaches.extend(rule.judge_path(&config.dir.join(name), Use::Secret));
        }
    }
    breaches
}
