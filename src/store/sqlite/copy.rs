//! The store as the source and as the target of a copy.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::{Connection, config::DbConfig, params_from_iter, types};

use super::{clock_floor, connect, draft::Draft, errors::StoreName, file::StoreFile, meta, migrations};
use crate::store::{
    Config, StoreError,
    copy::{
        rows::{Row, Value},
        tables::{Column, META, OF_THE_STORE, Table, replaced_by},
        transfer::{Filling, Snapshot},
    },
};

/// Number of rows that are in memory at a time.
const CHUNK: usize = 5000;

/// Rows of a store: one transaction is open on the connection, and so they are of one point in time.
pub(in crate::store) struct Copied {
    connection: Arc<Mutex<Connection>>,
    name: StoreName,
    table: Option<&'static Table>,
    /// The last row that was read.
    last: Option<Row>,
}

impl Copied {
    /// Begins to read a store, which must be of this version.
    pub(in crate::store) fn read(config: &Config) -> Result<Self, StoreError> {
        let name = StoreName::new(&config.path);
        let file = StoreFile::existing(&config.path, &name)?;
        let connection = name.check(connect::reading(file.path()))?;
        migrations::check_usable(&connection, &name)?;
        // The snapshot begins with the first read.
        name.check(connection.execute_batch("BEGIN; SELECT count(*) FROM meta"))?;
        Ok(Self::of(connection, name))
    }

    fn of(connection: Connection, name: StoreName) -> Self {
        Self { connection: Arc::new(Mutex::new(connection)), name, table: None, last: None }
    }

    /// Runs work that may take long on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = Arc::clone(&self.connection);
        let work = move || work(&connection.lock().unwrap_or_else(PoisonError::into_inner));
        let done = tokio::task::spawn_blocking(work).await;
        self.name.check(done.map_err(|why| self.name.unavailable(why))?)
    }
}

#[async_trait]
impl Snapshot for Copied {
    async fn begin(&mut self, table: &'static Table) -> Result<(), StoreError> {
        (self.table, self.last) = (Some(table), None);
        Ok(())
    }

    async fn next(&mut self) -> Result<Vec<Row>, StoreError> {
        let Some(table) = self.table else { return Ok(Vec::new()) };
        let after = self.last.as_ref().map(|row| row[..table.key].to_vec());
        let rows = match (table.name, after) {
            (META, None) => self.run(single_values).await?,
            (META, Some(_)) => Vec::new(),
            (_, after) => self.run(move |c| page(c, table, after)).await?,
        };
        self.last = rows.last().cloned();
        if rows.is_empty() {
            self.table = None;
        }
        Ok(rows)
    }
}

/// Store that is being filled: a [`Draft`], with one transaction open.
pub(in crate::store) struct CopiedDraft {
    rows: Copied,
    draft: Draft,
}

impl CopiedDraft {
    /// Begins a store where there is none.
    pub(in crate::store) fn begin(config: &Config) -> Result<Self, StoreError> {
        let name = StoreName::new(&config.path);
        let draft = Draft::begin(&config.path, &name)?;
        let mut connection = name.check(connect::alone(draft.path()))?;
        name.check(migrations::migrate(&mut connection))?;
        // What is copied did not end now: the log begins with the first end in the new store.
        name.check(connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false))?;
        name.check(connection.execute_batch("BEGIN IMMEDIATE"))?;
        Ok(Self { rows: Copied::of(connection, name), draft })
    }
}

#[async_trait]
impl Snapshot for CopiedDraft {
    async fn begin(&mut self, table: &'static Table) -> Result<(), StoreError> {
        self.rows.begin(table).await
    }

    async fn next(&mut self) -> Result<Vec<Row>, StoreError> {
        self.rows.next().await
    }
}

#[async_trait]
impl Filling for CopiedDraft {
    async fn add(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError> {
        self.rows.run(move |c| rows.into_iter().try_for_each(|row| insert(c, table, row))).await
    }

    async fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.rows.run(|c| c.execute_batch("COMMIT")).await?;
        // The connection is closed first.
        drop(self.rows);
        self.draft.put_in_place()
    }
}

/// Name of a column in this engine.
fn name_of(column: &Column) -> &'static str {
    if column.name == "user_hash" { "user" } else { column.name }
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(name_of).collect::<Vec<_>>().join(", ")
}

fn places(count: usize) -> String {
    (1..=count).map(|place| format!("?{place}")).collect::<Vec<_>>().join(", ")
}

/// Returns the rows after the one with that key.
fn page(c: &Connection, table: &Table, after: Option<Vec<Value>>) -> rusqlite::Result<Vec<Row>> {
    let (all, key) = (names(table.columns), names(&table.columns[..table.key]));
    let condition = after.as_ref().map(|_| format!("WHERE ({key}) > ({})", places(table.key))).unwrap_or_default();
    let sql = format!("SELECT {all} FROM {} {condition} ORDER BY {key} LIMIT {CHUNK}", table.name);
    let mut statement = c.prepare_cached(&sql)?;
    let key = params_from_iter(after.into_iter().flatten().map(types::Value::from));
    statement
        .query_map(key, |row| (0..table.columns.len()).map(|at| Ok(row.get::<_, types::Value>(at)?.into())).collect())?
        .collect()
}

fn insert(c: &Connection, table: &Table, row: Row) -> rusqlite::Result<()> {
    let sql = format!(
        "{} INTO {} ({}) VALUES ({})",
        // A new store has some already.
        if replaced_by(table).is_some() { "REPLACE" } else { "INSERT" },
        table.name,
        names(table.columns),
        places(table.columns.len()),
    );
    let row = if table.name == META { single_value(row) } else { row };
    c.prepare_cached(&sql)?.execute(params_from_iter(row.into_iter().map(types::Value::from))).map(drop)
}

/// Returns the single values that are about the store's contents, as text.
fn single_values(c: &Connection) -> rusqlite::Result<Vec<Row>> {
    let mut statement = c.prepare_cached("SELECT name, value FROM meta ORDER BY name")?;
    let values = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut values = values.collect::<rusqlite::Result<Vec<(String, types::Value)>>>()?;
    values.retain(|(name, _)| !OF_THE_STORE.contains(&name.as_str()));
    // A store of an older version may have its floor under another name.
    if let Some(floor) = clock_floor::as_text(c)?.filter(|_| values.iter().all(|(name, _)| name != clock_floor::FLOOR))
    {
        values.push((clock_floor::FLOOR.to_owned(), types::Value::Text(floor)));
        values.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    let text = |value| match value {
        types::Value::Integer(number) => number.to_string(),
        types::Value::Blob(bytes) => hex::encode(bytes),
        types::Value::Text(text) => text,
        types::Value::Real(number) => number.to_string(),
        types::Value::Null => String::new(),
    };
    Ok(values.into_iter().map(|(name, value)| vec![Value::Text(name), Value::Text(text(value))]).collect())
}

/// Returns a single value in the type that it has here.
fn single_value(row: Row) -> Row {
    let [Value::Text(name), Value::Text(text)] = row.as_slice() else { return row };
    let value = match name.as_str() {
        meta::GENERATION => text.parse().ok().map(Value::Integer),
        meta::USER_HASH_KEY => hex::decode(text).ok().map(Value::Bytes),
        _ => None,
    };
    match value {
        Some(value) => vec![row[0].clone(), value],
        None => row,
    }
}

impl From<Value> for types::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(number) => Self::Integer(number),
            Value::Text(text) => Self::Text(text),
            Value::Bytes(bytes) => Self::Blob(bytes),
        }
    }
}

impl From<types::Value> for Value {
    fn from(value: types::Value) -> Self {
        match value {
            types::Value::Null => Self::Null,
            types::Value::Integer(number) => Self::Integer(number),
            types::Value::Real(number) => Self::Text(number.to_string()),
            types::Value::Text(text) => Self::Text(text),
            types::Value::Blob(bytes) => Self::Bytes(bytes),
        }
    }
}
#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::store::copy::tables::{Kind, OF_NODES, TABLES};

    #[test]
    fn a_copy_has_every_table_and_column() {
        let c = Connection::open_in_memory().unwrap();
        migrations::apply_all(&c).unwrap();
        let sql = "SELECT t.name, c.name, c.type, c.pk FROM pragma_table_list t JOIN pragma_table_info(t.name) c \
                   WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite_%'";
        let mut statement = c.prepare(sql).unwrap();
        let mut found: BTreeMap<String, BTreeSet<(String, String, bool)>> = BTreeMap::new();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let column = (row.get(1).unwrap(), row.get(2).unwrap(), row.get::<_, i64>(3).unwrap() > 0);
            found.entry(row.get(0).unwrap()).or_default().insert(column);
        }
        found.retain(|name, _| !OF_NODES.contains(&name.as_str()));
        let kind = |table: &Table, column: &Column| match column.kind {
            _ if table.name == META && column.name == "value" => "ANY",
            Kind::Integer => "INTEGER",
            Kind::Text => "TEXT",
            Kind::Bytes => "BLOB",
        };
        let listed = TABLES.iter().map(|table| {
            let columns = table.columns.iter().enumerate();
            let columns = columns.map(|(at, c)| (name_of(c).to_owned(), kind(table, c).to_owned(), at < table.key));
            (table.name.to_owned(), columns.collect())
        });
        assert_eq!(found, listed.collect());
    }
}
