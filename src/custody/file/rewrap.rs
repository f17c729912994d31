//! Re-encryption of a key file with the configured passphrase.

use std::{io, path::Path};

use zeroize::Zeroizing;

use super::{
    KeyFiles,
    folder::{Folder, file_error},
};
use crate::{
    custody::{
        admission::{self, AdmittedKey},
        error::{CustodyError, ImportError},
        format,
    },
    domain::key::KeyRecord,
    files::write_fault,
    secret::{Secret, random},
};

impl KeyFiles {
    /// Encrypts the key of this record with the configured passphrase; see
    /// [`KeyPlaces::rewrap`](crate::custody::KeyPlaces::rewrap).
    pub(in crate::custody) fn rewrap(
        &self,
        record: &KeyRecord,
        old: Option<&Secret<String>>,
    ) -> Result<bool, CustodyError> {
        let folder = Folder::open(&self.config)?;
        let shown = folder.show(&record.locator);
        let bytes = folder.read(&record.locator)?;
        if admission::is_encrypted(&bytes) == self.passphrase().is_some()
            && self.opens(&bytes, self.passphrase()).is_ok()
        {
            return Ok(false);
        }
        let old = old.map(|old| old.expose().as_str());
        let (key, pkcs1) = self.opens(&bytes, old).map_err(|why| file_error(&shown, &advice(&why)))?;
        if key.public.kid != record.kid || key.public.pem.trim() != record.public_key.trim() {
            let (wanted, found) = (record.kid.clone(), key.public.kid);
            return Err(CustodyError::Mismatch { path: shown, wanted, found });
        }
        let failed = |why: &dyn std::fmt::Display| {
            file_error(&shown, &format!("could not be encrypted again, and is as it was: {why}"))
        };
        let sealed = format::pkcs8::seal(&pkcs1, self.passphrase(), &*self.entropy).map_err(|why| failed(&why))?;
        let tag = random::<8>(&*self.entropy).map_err(|why| failed(&why))?;
        let is_proven = |written: &[u8]| match self.opens(written, self.passphrase()) {
            Ok((again, _)) if again.public == key.public => Ok(()),
            Ok(_) => Err(io::Error::other("another key was read back")),
            Err(why) => Err(io::Error::other(why)),
        };
        folder
            .replace(&record.locator, u64::from_be_bytes(tag), sealed.as_bytes(), is_proven)
            .map_err(|why| failed(&write_fault(Path::new(&shown), &why)))?;
        Ok(true)
    }

    fn opens(&self, bytes: &[u8], passphrase: Option<&str>) -> Result<(AdmittedKey, Zeroizing<Vec<u8>>), ImportError> {
        let pkcs1 = admission::read(bytes, passphrase)?;
        Ok((admission::admit(&pkcs1, &*self.entropy)?, pkcs1))
    }
}

/// Says what to do with a file that the old passphrase does not open.
fn advice(why: &ImportError) -> String {
    match why {
        ImportError::PassphraseMissing => {
            "is encrypted, and the configured passphrase does not open it: give the old one \
                                           with --old-passphrase-file; nothing was changed in it"
                .to_owned()
        }
        ImportError::PassphraseWrong => {
            "opens with neither the configured nor the old passphrase, or is damaged; nothing \
                                         was changed in it: give the passphrase that it was encrypted with"
                .to_owned()
        }
        why => why.to_string(),
    }
}
