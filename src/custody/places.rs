//! Moves of keys between the places of custody, and their re-encryption in place.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{
    KeyPlaces,
    error::CustodyError,
    file::file_of,
    local::{LocalCustodian, kind_of},
};
use crate::{
    domain::{
        ids::Kid,
        key::{CustodyKind, KeyLocation, KeyRecord},
        sealing::SealingKeys,
    },
    secret::Secret,
};

#[async_trait]
impl KeyPlaces for LocalCustodian {
    async fn copy(&self, record: &KeyRecord, to: CustodyKind) -> Result<KeyLocation, CustodyError> {
        let (key, pkcs1) = self.load(record).await?;
        let location = self.keep_in(to, &record.ring, &key, &pkcs1).await?;
        let KeyLocation { custody, locator } = location.clone();
        self.load(&KeyRecord { custody, locator, ..record.clone() }).await?;
        Ok(location)
    }

    async fn erase(&self, kid: &Kid, from: CustodyKind) -> Result<(), CustodyError> {
        match from {
            CustodyKind::File => self.files.erase(&file_of(kid)),
            CustodyKind::Store => self.sealed.erase(kid).await,
        }
    }

    async fn rewrap(&self, record: &KeyRecord, old: Option<&Secret<String>>) -> Result<bool, CustodyError> {
        match kind_of(record)? {
            CustodyKind::File => self.files.rewrap(record, old),
            CustodyKind::Store => self.sealed.reseal(&record.kid, &record.ring).await,
        }
    }

    async fn reseal(&self, records: &[KeyRecord], sealing: SealingKeys) -> Result<(), CustodyError> {
        let new = self.sealed.with(sealing);
        let mut refused = None;
        for record in records.iter().filter(|record| is_sealed(record)) {
            match new.reseal(&record.kid, &record.ring).await {
                Ok(true) => tracing::info!(kid = %record.kid, "key sealed with the newest sealing secret"),
                Ok(false) => {}
                // One that opens with no secret is reported where it must sign; it holds up no reload.
                Err(why) => {
                    if self.sealed.read(&record.kid, &record.ring).await.is_ok() {
                        refused = Some(why);
                    }
                }
            }
        }
        refused.map_or(Ok(()), Err)?;
        self.sealed.use_sealing_of(&new);
        Ok(())
    }

    async fn sealing_versions(&self, records: &[KeyRecord]) -> Result<BTreeMap<u32, bool>, CustodyError> {
        let mut versions = BTreeMap::new();
        for record in records.iter().filter(|record| is_sealed(record)) {
            versions.extend(self.sealed.version(&record.kid).await?);
        }
        Ok(versions)
    }
}

fn is_sealed(record: &KeyRecord) -> bool {
    record.state.is_held() && record.custody == CustodyKind::Store.as_str()
}
