//! Custodian of the keys that sign in this process: each is loaded from the place that its record names.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use zeroize::Zeroizing;

use super::{
    Config, Custodian, HeldKey, InstallationMark, Orphan,
    admission::{self, AdmittedKey},
    batch::Provider,
    engine::Engine,
    error::{CustodyError, ImportError},
    file::{KeyFiles, file_of},
    format,
    local_key::LocalKey,
    sealed::SealedKeys,
    signer::{PrivateKey, Signer},
};
use crate::{
    domain::{
        ids::{InstallationId, Kid, RingName},
        key::{CustodyKind, KeyLocation, KeyRecord},
    },
    secret::{Entropy, Secret},
    telemetry::Metrics,
};

/// Custodian that keeps keys in files or in the store, and signs with the threads of its engine.
pub(super) struct LocalCustodian {
    /// Place of new keys.
    kind: CustodyKind,
    pub(super) files: Arc<KeyFiles>,
    pub(super) sealed: SealedKeys,
    entropy: Arc<dyn Entropy>,
    engine: Arc<Engine>,
    batch: Arc<Option<Provider>>,
}

impl LocalCustodian {
    pub(super) fn open(
        config: Config,
        sealed: SealedKeys,
        metrics: Arc<Metrics>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, CustodyError> {
        let (kind, threads, max_wait, batch) = (config.kind, config.thread_count(), config.max_wait, config.batch);
        let files = Arc::new(KeyFiles::new(config, Arc::clone(&entropy)));
        if kind == CustodyKind::File {
            // Each use checks the folder again; this check keeps a service from starting that could never load a key.
            files.check()?;
        }
        let batch = Arc::new(Provider::find(batch, &metrics));
        let engine = Engine::start(threads, max_wait, metrics).map_err(|why| CustodyError::Threads(why.to_string()))?;
        Ok(Self { kind, files, sealed, entropy, engine: Arc::new(engine), batch })
    }

    /// Keeps a new key in the place of new keys.
    async fn keep(&self, ring: &RingName, key: AdmittedKey, pkcs1: &[u8]) -> Result<HeldKey, CustodyError> {
        let location = self.keep_in(self.kind, ring, &key, pkcs1).await?;
        let public = key.public;
        Ok(HeldKey { kid: public.kid, bits: public.bits, public_key: public.pem, location })
    }

    /// Keeps a key in a place. The same key that is there already is a success: the call may be repeated after a crash.
    pub(super) async fn keep_in(
        &self,
        kind: CustodyKind,
        ring: &RingName,
        key: &AdmittedKey,
        pkcs1: &[u8],
    ) -> Result<KeyLocation, CustodyError> {
        let public = &key.public;
        let locator = match kind {
            CustodyKind::File => self.files.keep(public, pkcs1)?,
            CustodyKind::Store => {
                if !self.sealed.insert(&public.kid, ring, pkcs1).await? {
                    // It is the same key: its id, which is its fingerprint, was sealed with it.
                    self.sealed.read(&public.kid, ring).await?;
                }
                public.kid.to_string()
            }
        };
        Ok(kind.location(locator))
    }

    /// Loads a key from the place on record, and checks that it is the one on record.
    pub(super) async fn load(&self, record: &KeyRecord) -> Result<(AdmittedKey, Zeroizing<Vec<u8>>), CustodyError> {
        let (key, pkcs1) = match kind_of(record)? {
            CustodyKind::File => {
                let (files, record) = (Arc::clone(&self.files), record.clone());
                beside_requests(move || files.load(&record)).await?
            }
            CustodyKind::Store => {
                let pkcs1 = self.sealed.read(&record.kid, &record.ring).await?;
                let (entropy, path) = (Arc::clone(&self.entropy), self.show(record));
                beside_requests(move || match admission::admit(&pkcs1, &*entropy) {
                    Ok(key) => Ok((key, pkcs1)),
                    Err(source) => Err(CustodyError::Unfit { path, source }),
                })
                .await?
            }
        };
        if key.public.kid != record.kid {
            let (path, wanted) = (self.show(record), record.kid.clone());
            return Err(CustodyError::Mismatch { path, wanted, found: key.public.kid });
        }
        if key.public.pem.trim() != record.public_key.trim() {
            let why = "its public half is not the one on record: restore the store or the key".to_owned();
            return Err(CustodyError::File { path: self.show(record), why });
        }
        Ok((key, pkcs1))
    }

    /// Place of a record's key, for messages.
    fn show(&self, record: &KeyRecord) -> String {
        if record.custody == CustodyKind::Store.as_str() {
            format!("the sealed key {} in the store", record.kid)
        } else {
            self.files.show(&record.locator)
        }
    }
}

#[async_trait]
impl Custodian for LocalCustodian {
    async fn generate(&self, ring: &RingName, bits: u32) -> Result<HeldKey, CustodyError> {
        let pkcs1 = beside_requests(move || generate(bits)).await?;
        let key = admission::admit(&pkcs1, &*self.entropy).map_err(|why| CustodyError::Generation(why.to_string()))?;
        self.keep(ring, key, &pkcs1).await
    }

    async fn import(
        &self,
        ring: &RingName,
        pem: &Secret<Vec<u8>>,
        passphrase: Option<&Secret<String>>,
    ) -> Result<HeldKey, ImportError> {
        let pkcs1 = admission::read(pem.expose(), passphrase.map(|passphrase| passphrase.expose().as_str()))?;
        let key = admission::admit(&pkcs1, &*self.entropy)?;
        self.keep(ring, key, &pkcs1).await.map_err(not_kept)
    }

    async fn open(&self, record: &KeyRecord) -> Result<Arc<dyn Signer>, CustodyError> {
        let (key, pkcs1) = self.load(record).await?;
        let (batch, path) = (Arc::clone(&self.batch), self.show(record));
        let (public, pair) = (key.public, key.pair);
        let local = beside_requests(move || {
            LocalKey::new(pair, &pkcs1, Option::as_ref(&batch)).map_err(|why| CustodyError::File { path, why })
        })
        .await?;
        if let Some(pace) = local.pace() {
            let custody = record.custody.as_str();
            tracing::info!(kid = %public.kid, bits = public.bits, custody, %pace, "key loaded");
        }
        Ok(self.engine.signer(public.kid, Arc::new(local)))
    }

    async fn destroy(&self, record: &KeyRecord) -> Result<(), CustodyError> {
        // A move may have left a copy in the other place. A fault of one place keeps no copy in the other.
        let file = match kind_of(record)? {
            CustodyKind::File => self.files.destroy(record),
            CustodyKind::Store => self.files.erase(&file_of(&record.kid)),
        };
        self.sealed.erase(&record.kid).await.and(file)
    }

    async fn installation_mark(&self) -> Result<InstallationMark, CustodyError> {
        super::installation_mark(self.files.config())
    }

    async fn adopt_installation_id(&self, id: InstallationId) -> Result<(), CustodyError> {
        self.files.adopt_installation_id(id)
    }

    async fn orphans(&self, records: &[KeyRecord]) -> Result<Vec<Orphan>, CustodyError> {
        let named = |kid: &str| records.iter().find(|record| record.kid.as_str() == kid).cloned();
        let file = |name: String| Orphan {
            record: named(name.trim_end_matches(".pem")),
            location: CustodyKind::File.location(name),
        };
        let sealed =
            |kid: Kid| Orphan { record: named(kid.as_str()), location: CustodyKind::Store.location(kid.to_string()) };
        let sealed = self.sealed.kids().await?.into_iter().map(sealed);
        let is_known = |orphan: &Orphan| orphan.record.as_ref().is_some_and(|key| key.location() == orphan.location);
        let found = self.files.names()?.into_iter().map(file).chain(sealed);
        Ok(found.filter(|found| !is_known(found)).collect())
    }
}

/// Place that a record names.
pub(super) fn kind_of(record: &KeyRecord) -> Result<CustodyKind, CustodyError> {
    let unknown = |_| CustodyError::UnknownCustody { kid: record.kid.clone(), custody: record.custody.clone() };
    record.custody.parse().map_err(unknown)
}

/// Does work that takes long on a thread of its own: the search for primes, a decryption or a measurement takes up to half
/// a second, for which the threads that serve requests would stand still.
async fn beside_requests<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CustodyError> + Send + 'static,
) -> Result<T, CustodyError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|why| Err(CustodyError::Stopped(why.to_string())))
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
        other => ImportError::NotKept(other.to_string()),
    }
}
