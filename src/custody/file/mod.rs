//! Custody in files: a folder with one file `<kid>.pem` for each key, encrypted where there is a passphrase.

mod folder;

use std::{io, path::Path, sync::Arc};

use async_trait::async_trait;
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use zeroize::Zeroizing;

use self::folder::{Folder, file_error};
use super::{
    Config, Custodian, HeldKey,
    admission::{self, AdmittedKey},
    batch::Provider,
    engine::Engine,
    error::{CustodyError, ImportError},
    format,
    local_key::LocalKey,
    signer::{PrivateKey, Signer},
};
use crate::{
    domain::{
        ids::{InstallationId, Kid, RingName},
        key::KeyRecord,
    },
    files::{Breaches, Rule, Use},
    secret::{Entropy, Secret, random},
    telemetry::Metrics,
};

/// Name of this custody in key records.
const NAME: &str = "file";

/// Name of the file with the id of the installation.
const INSTALLATION_ID: &str = "installation.id";

/// Custodian that keeps keys in a folder, and signs with the threads of its engine.
pub(super) struct FileCustodian {
    config: Config,
    entropy: Arc<dyn Entropy>,
    engine: Arc<Engine>,
    batch: Option<Provider>,
}

impl FileCustodian {
    pub(super) fn open(config: Config, metrics: Arc<Metrics>, entropy: Arc<dyn Entropy>) -> Result<Self, CustodyError> {
        // Each use checks the folder again; this check keeps a service from starting that could never load a key.
        Folder::open(&config)?;
        let batch = Provider::find(config.batch, &metrics);
        let engine = Engine::start(config.thread_count(), config.max_wait, metrics)
            .map_err(|why| CustodyError::Threads(why.to_string()))?;
        Ok(Self { config, entropy, engine: Arc::new(engine), batch })
    }

    fn passphrase(&self) -> Option<&str> {
        self.config.passphrase.as_ref().map(|passphrase| passphrase.expose().as_str())
    }

    /// Writes the key's file. A file that holds the same key already is a success: an import may be repeated after a
    /// crash.
    fn keep(&self, key: AdmittedKey, pkcs1: &[u8]) -> Result<HeldKey, CustodyError> {
        let folder = Folder::open(&self.config)?;
        let locator = format!("{}.pem", key.public.kid);
        let shown = folder.show(&locator);
        let sealed = format::pkcs8::seal(pkcs1, self.passphrase(), &*self.entropy)
            .map_err(|why| file_error(&shown, &why.to_string()))?;
        match self.write_new(&folder, &locator, sealed.as_bytes()) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => self.check_existing(&folder, &locator, &key)?,
            done => done.map_err(|why| file_error(&shown, &format!("the key could not be written: {why}")))?,
        }
        let public = key.public;
        Ok(HeldKey { kid: public.kid, bits: public.bits, public_key: public.pem, custody: NAME, locator })
    }

    /// Checks that the existing file holds this key, encrypted as it would be encrypted now.
    fn check_existing(&self, folder: &Folder, locator: &str, key: &AdmittedKey) -> Result<(), CustodyError> {
        let bytes = folder.read(locator)?;
        let encrypted = admission::is_encrypted(&bytes);
        match self.load(folder, locator, &bytes) {
            Ok((held, _)) if held.public == key.public && encrypted == self.passphrase().is_some() => Ok(()),
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
    fn load(
        &self,
        folder: &Folder,
        locator: &str,
        bytes: &[u8],
    ) -> Result<(AdmittedKey, Zeroizing<Vec<u8>>), CustodyError> {
        admission::read(bytes, self.passphrase())
            .and_then(|pkcs1| admission::admit(&pkcs1, &*self.entropy).map(|key| (key, pkcs1)))
            .map_err(|source| CustodyError::Unfit { path: folder.show(locator), source })
    }
}

#[async_trait]
impl Custodian for FileCustodian {
    async fn generate(&self, _: &RingName, bits: u32) -> Result<HeldKey, CustodyError> {
        // The search for primes takes up to half a second, which would block the threads that serve requests.
        let generated = tokio::task::spawn_blocking(move || generate(bits)).await;
        let pkcs1 = generated.map_err(|why| CustodyError::Generation(why.to_string()))??;
        let key = admission::admit(&pkcs1, &*self.entropy).map_err(|why| CustodyError::Generation(why.to_string()))?;
        self.keep(key, &pkcs1)
    }

    async fn import(
        &self,
        _: &RingName,
        pem: &Secret<Vec<u8>>,
        passphrase: Option<&Secret<String>>,
    ) -> Result<HeldKey, ImportError> {
        let pkcs1 = admission::read(pem.expose(), passphrase.map(|passphrase| passphrase.expose().as_str()))?;
        let key = admission::admit(&pkcs1, &*self.entropy)?;
        self.keep(key, &pkcs1).map_err(not_kept)
    }

    async fn open(&self, record: &KeyRecord) -> Result<Arc<dyn Signer>, CustodyError> {
        let folder = Folder::open(&self.config)?;
        let path = folder.show(&record.locator);
        if !folder.contains(&record.locator)? {
            return Err(file_error(&path, &missing(&folder, record)?));
        }
        let (key, pkcs1) = self.load(&folder, &record.locator, &folder.read(&record.locator)?)?;
        if key.public.kid != record.kid {
            return Err(CustodyError::Mismatch { path, wanted: record.kid.clone(), found: key.public.kid });
        }
        if key.public.pem.trim() != record.public_key.trim() {
            return Err(file_error(&path, "its public half is not the one on record: restore the store or the file"));
        }
        let local = LocalKey::new(key.pair, &pkcs1, self.batch.as_ref()).map_err(|why| file_error(&path, &why))?;
        if let Some(pace) = local.pace() {
            tracing::info!(kid = %key.public.kid, bits = key.public.bits, %pace, "key loaded");
        }
        Ok(self.engine.signer(key.public.kid, Arc::new(local)))
    }

    async fn destroy(&self, record: &KeyRecord) -> Result<(), CustodyError> {
        let folder = Folder::open(&self.config)?;
        folder.destroy(&record.locator)?;
        // The private half is gone, which is what counts: a full disk must not make this a failure.
        if let Err(why) = self.note_destroyed(&folder, record) {
            tracing::warn!(kid = %record.kid, %why, "the folder does not say that the key was destroyed");
        }
        Ok(())
    }

    async fn installation_id(&self) -> Result<Option<InstallationId>, CustodyError> {
        let folder = Folder::open(&self.config)?;
        if !folder.contains(INSTALLATION_ID)? {
            return Ok(None);
        }
        let text = folder.read(INSTALLATION_ID)?;
        let id = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
        let damaged =
            "holds no installation id, which is 32 hexadecimal digits: restore it from a backup of the folder";
        id.map(Some).ok_or_else(|| file_error(&folder.show(INSTALLATION_ID), damaged))
    }

    async fn adopt_installation_id(&self, id: InstallationId) -> Result<(), CustodyError> {
        let folder = Folder::open(&self.config)?;
        match self.write_new(&folder, INSTALLATION_ID, format!("{id}\n").as_bytes()) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                Err(file_error(&folder.show(INSTALLATION_ID), &why.to_string()))
            }
            _ => Ok(()),
        }
    }

    async fn orphans(&self, records: &[KeyRecord]) -> Result<Vec<String>, CustodyError> {
        let shown = self.config.dir.display().to_string();
        let names = key_files(&self.config.dir).map_err(|why| file_error(&shown, &why.to_string()))?;
        let is_known = |name: &String| records.iter().any(|record| record.locator == *name);
        Ok(names.into_iter().filter(|name| !is_known(name)).collect())
    }
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

/// Names of the key files in a folder.
fn key_files(folder: &Path) -> io::Result<Vec<String>> {
    let names = std::fs::read_dir(folder)?.filter_map(|file| file.ok()?.file_name().into_string().ok());
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

/// Generates a key, as PKCS#1.
fn generate(bits: u32) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
    let size = match bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        4096 => KeySize::Rsa4096,
        other => return Err(CustodyError::Bits(other)),
    };
    let refused = |_| CustodyError::Generation("the cryptographic library made none".to_owned());
    let pkcs8: Pkcs8V1Der<'_> = KeyPair::generate(size).and_then(|pair| pair.as_der()).map_err(refused)?;
    format::pkcs8::from_pkcs8(pkcs8.as_ref()).map_err(|why| CustodyError::Generation(why.to_string()))
}

fn not_kept(error: CustodyError) -> ImportError {
    match error {
        CustodyError::File { path, why } => ImportError::Keep { path, why },
        CustodyError::Access(breaches) => ImportError::Access(breaches),
        CustodyError::Unfit { source, .. } => source,
        other => ImportError::Keep { path: NAME.to_owned(), why: other.to_string() },
    }
}
