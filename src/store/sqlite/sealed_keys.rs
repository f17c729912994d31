//! Sealed private keys.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::{SqliteStore, rows};
use crate::{
    domain::ids::Kid,
    store::{SealedKeys, StoreError},
};

#[async_trait]
impl SealedKeys for SqliteStore {
    async fn sealed_key(&self, kid: &Kid) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT sealed FROM sealed_keys WHERE kid = ?1";
        self.read(|c| c.prepare_cached(sql)?.query_row([kid.as_str()], |row| row.get(0)).optional())
    }

    async fn insert_sealed_key(&self, kid: &Kid, sealed: Vec<u8>) -> Result<bool, StoreError> {
        let kid = kid.clone();
        let sql = "INSERT INTO sealed_keys (kid, sealed) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.write(move |c| Ok(c.execute(sql, params![kid.as_str(), sealed])? == 1)).await
    }

    async fn replace_sealed_key(&self, kid: &Kid, from: Vec<u8>, to: Vec<u8>) -> Result<bool, StoreError> {
        let kid = kid.clone();
        let sql = "UPDATE sealed_keys SET sealed = ?3 WHERE kid = ?1 AND sealed = ?2";
        self.write(move |c| zeroing_pages(c, |c| Ok(c.execute(sql, params![kid.as_str(), from, to])? == 1))).await
    }

    async fn delete_sealed_key(&self, kid: &Kid) -> Result<bool, StoreError> {
        let kid = kid.clone();
        let sql = "DELETE FROM sealed_keys WHERE kid = ?1";
        self.write(move |c| zeroing_pages(c, |c| Ok(c.execute(sql, [kid.as_str()])? == 1))).await
    }

    async fn sealed_keys(&self) -> Result<Vec<Kid>, StoreError> {
        let sql = "SELECT kid FROM sealed_keys ORDER BY kid";
        self.read(|c| c.prepare_cached(sql)?.query_map([], |row| rows::parsed(row, 0))?.collect())
    }
}

/// Runs a write that frees pages of the file, and overwrites those with zeros. Other writes overwrite only what costs no
/// extra write (`secure_delete=FAST`), and the pages of a long value do.
fn zeroing_pages(
    c: &mut Connection,
    write: impl FnOnce(&Connection) -> rusqlite::Result<bool>,
) -> rusqlite::Result<bool> {
    c.pragma_update(None, "secure_delete", "ON")?;
    let written = write(c);
    c.pragma_update(None, "secure_delete", "FAST")?;
    written
}
