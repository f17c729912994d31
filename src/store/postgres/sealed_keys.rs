//! Sealed private keys.

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::{PostgresStore, rows};
use crate::{
    domain::ids::Kid,
    store::{SealedKeys, StoreError},
};

#[async_trait]
impl SealedKeys for PostgresStore {
    async fn sealed_key(&self, kid: &Kid) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT sealed FROM countersign.sealed_keys WHERE kid = $1";
        let found = self.read(sql, &[(&kid.as_str(), Type::TEXT)]).await?;
        self.database.name.check(found.first().map(|row| rows::get(row, 0)).transpose())
    }

    async fn insert_sealed_key(&self, kid: &Kid, sealed: Vec<u8>) -> Result<bool, StoreError> {
        let sql =
            "INSERT INTO countersign.sealed_keys (kid, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true";
        self.has_written(sql, &[(&kid.as_str(), Type::TEXT), (&sealed, Type::BYTEA)]).await
    }

    async fn replace_sealed_key(&self, kid: &Kid, from: Vec<u8>, to: Vec<u8>) -> Result<bool, StoreError> {
        let sql = "UPDATE countersign.sealed_keys SET sealed = $3 WHERE kid = $1 AND sealed = $2 RETURNING true";
        self.has_written(sql, &[(&kid.as_str(), Type::TEXT), (&from, Type::BYTEA), (&to, Type::BYTEA)]).await
    }

    async fn delete_sealed_key(&self, kid: &Kid) -> Result<bool, StoreError> {
        let sql = "DELETE FROM countersign.sealed_keys WHERE kid = $1 RETURNING true";
        self.has_written(sql, &[(&kid.as_str(), Type::TEXT)]).await
    }

    async fn sealed_keys(&self) -> Result<Vec<Kid>, StoreError> {
        let sql = "SELECT kid FROM countersign.sealed_keys ORDER BY kid COLLATE \"C\"";
        let found = self.read(sql, &[]).await?;
        self.database.name.check(found.iter().map(|row| rows::parsed(row, 0)).collect())
    }
}
