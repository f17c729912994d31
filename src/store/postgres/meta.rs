//! The table `meta`: single values, each under its name, as text.

use tokio_postgres::{GenericClient, types::Type};

use super::rows::RowError;

pub(super) const AUDIT_KEY: &str = "audit_key";
pub(super) const CHECK: &str = "check";
pub(super) const CLOCK_ACCEPTANCE: &str = "clock_acceptance";
pub(super) const CLOCK_FLOOR: &str = "clock_floor";
pub(super) const GENERATION: &str = "generation";
pub(super) const INSTALLATION_ID: &str = "installation_id";
/// The last session that the purge examined, in hexadecimal.
pub(super) const PURGED_TO: &str = "purged_to";
pub(super) const READABLE_FROM: &str = "readable_from";
pub(super) const SCHEMA: &str = "schema";
pub(super) const USER_HASH_KEY: &str = "user_hash_key";

/// The value of the name `$1`.
pub(super) const GET: &str = "SELECT value FROM countersign.meta WHERE name = $1";

/// Puts the value `$2` under the name `$1`.
pub(super) const PUT: &str = "INSERT INTO countersign.meta (name, value) VALUES ($1, $2) \
     ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// Puts the value `$2` under the name `$1`, if there is none. It has a row where that was so.
pub(super) const PUT_FIRST: &str =
    "INSERT INTO countersign.meta (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true";

/// Locks the number that changes with every change of a key or an API key. Who changes one takes it first, so that they
/// follow each other, and no two of them wait for each other.
pub(super) const LOCK_GENERATION: &str = "SELECT FROM countersign.meta WHERE name = 'generation' FOR UPDATE";

/// Raises that number.
pub(super) const NEXT_GENERATION: &str =
    "UPDATE countersign.meta SET value = (value::bigint + 1)::text WHERE name = 'generation'";

/// Writes the value of that name.
pub(super) async fn put<C: GenericClient + Sync>(client: &C, name: &str, value: &str) -> Result<(), RowError> {
    client.execute_typed(PUT, &[(&name, Type::TEXT), (&value, Type::TEXT)]).await?;
    Ok(())
}

/// Raises the number of that name; never lowers it.
pub(super) async fn raise<C: GenericClient + Sync>(client: &C, name: &str, number: u32) -> Result<(), RowError> {
    let sql = "INSERT INTO countersign.meta AS m (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE \
               SET value = greatest(m.value::bigint, excluded.value::bigint)::text";
    client.execute_typed(sql, &[(&name, Type::TEXT), (&number.to_string(), Type::TEXT)]).await?;
    Ok(())
}
