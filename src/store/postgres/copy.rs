//! The store as the source and as the target of a copy.

use async_trait::async_trait;
use tokio_postgres::{
    Row as Found,
    types::{ToSql, Type},
};

use super::{
    Target,
    database::{Access, Database, Session},
    errors::StoreName,
    migrations,
};
use crate::{
    store::{
        Config, StoreError,
        copy::{
            rows::{Row, Value},
            tables::{Column, Kind, LOGGED, META, NUMBERED, OF_THE_STORE, TABLES, Table, replaced_by},
            transfer::{Filling, Snapshot},
        },
    },
    telemetry::Metrics,
};

/// Number of rows that are in memory at a time.
const CHUNK: usize = 5000;

/// Rows of a database: one transaction is open on the connection, and so they are of one point in time.
pub(in crate::store) struct Copied {
    session: Session,
    name: StoreName,
    table: Option<&'static Table>,
    /// This made the tables, and so may switch their triggers off.
    owns_tables: bool,
}

impl Copied {
    /// Begins to read a store, which must be of this version.
    pub(in crate::store) async fn read(config: &Config, target: &Target) -> Result<Self, StoreError> {
        let database = Database::open(config, target, Access::Read, Metrics::new())?;
        migrations::check_usable(&database).await?;
        Self::begun(&database, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// Begins a store in a database that has none, or an empty one.
    pub(in crate::store) async fn fill(config: &Config, target: &Target) -> Result<Self, StoreError> {
        let database = Database::open(config, target, Access::ReadAndWrite, Metrics::new())?;
        let mut begun = Self::begun(&database, "BEGIN").await?;
        begun.make_tables().await?;
        Ok(begun)
    }

    /// Takes a connection out of the pool, and begins a transaction. It is rolled back when the connection is dropped.
    async fn begun(database: &Database, begin: &str) -> Result<Self, StoreError> {
        let (session, name) = (database.session().await?, database.name.clone());
        name.check(session.batch_execute(begin).await)?;
        Ok(Self { session, name, table: None, owns_tables: false })
    }

    async fn make_tables(&mut self) -> Result<(), StoreError> {
        self.owns_tables = migrations::create_in(&*self.session, &self.name).await?;
        if self.owns_tables {
            self.switch_triggers("DISABLE").await?;
        } else {
            for table in TABLES.iter().filter(|table| replaced_by(table).is_none()) {
                self.refuse_rows(table).await?;
            }
        }
        Ok(())
    }

    async fn switch_triggers(&self, how: &str) -> Result<(), StoreError> {
        for table in LOGGED {
            self.run(&format!("ALTER TABLE countersign.{table} {how} TRIGGER USER")).await?;
        }
        Ok(())
    }

    /// Fails where a table has rows. Nobody else writes to it until the transaction ends.
    async fn refuse_rows(&self, table: &Table) -> Result<(), StoreError> {
        let name = table.name;
        self.run(&format!("LOCK TABLE countersign.{name} IN ACCESS EXCLUSIVE MODE")).await?;
        let found = self.query(&format!("SELECT EXISTS (SELECT FROM countersign.{name})")).await?;
        let has_rows = found.first().is_some_and(|row| row.get(0));
        if has_rows { Err(self.name.occupied(name)) } else { Ok(()) }
    }

    async fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.name.check(self.session.batch_execute(sql).await)
    }

    async fn query(&self, sql: &str) -> Result<Vec<Found>, StoreError> {
        self.name.check(self.session.query_typed(sql, &[]).await)
    }
}

#[async_trait]
impl Snapshot for Copied {
    async fn begin(&mut self, table: &'static Table) -> Result<(), StoreError> {
        if self.table.replace(table).is_some() {
            self.run("CLOSE copied").await?;
        }
        self.run(&format!("DECLARE copied NO SCROLL CURSOR FOR {}", selection(table))).await
    }

    async fn next(&mut self) -> Result<Vec<Row>, StoreError> {
        let Some(table) = self.table else { return Ok(Vec::new()) };
        let found = self.query(&format!("FETCH {CHUNK} FROM copied")).await?;
        found.iter().map(|row| self.name.check(read(table, row))).collect()
    }
}

#[async_trait]
impl Filling for Copied {
    async fn add(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError> {
        let columns = Arrays::of(table, rows);
        let params: Vec<(&(dyn ToSql + Sync), Type)> = columns.0.iter().map(Array::as_param).collect();
        self.name.check(self.session.execute_typed(&insertion(table), &params).await).map(drop)
    }

    async fn finish(self: Box<Self>) -> Result<(), StoreError> {
        // The next row follows the last one.
        for table in NUMBERED {
            let sequence = format!("pg_get_serial_sequence('countersign.{table}', 'seq')");
            let sql =
                format!("SELECT setval({sequence}, max(seq)) FROM countersign.{table} HAVING max(seq) IS NOT NULL");
            self.run(&sql).await?;
        }
        // The log begins with the first end in the new store.
        if self.owns_tables {
            self.switch_triggers("ENABLE").await?;
        } else {
            self.run("DELETE FROM countersign.ends").await?;
        }
        self.run("COMMIT").await?;
        // Only so that the first statements are planned well; it happens later by itself.
        let _ = self.run("ANALYZE countersign.sessions").await;
        Ok(())
    }
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

/// Returns the query for a table's rows. Texts are ordered by their bytes, as the other engine does.
fn selection(table: &Table) -> String {
    let key = table.columns[..table.key].iter().map(|column| match column.kind {
        Kind::Text => format!("{} COLLATE \"C\"", column.name),
        Kind::Integer | Kind::Bytes => column.name.to_owned(),
    });
    let condition =
        if table.name == META { format!("WHERE name NOT IN ('{}')", OF_THE_STORE.join("', '")) } else { String::new() };
    format!(
        "SELECT {} FROM countersign.{} {condition} ORDER BY {}",
        names(table.columns),
        table.name,
        key.collect::<Vec<_>>().join(", ")
    )
}

/// Returns the statement that adds rows, which it gets as one array a column.
fn insertion(table: &Table) -> String {
    let arrays = table.columns.iter().zip(1..).map(|(column, place)| match column.kind {
        Kind::Integer => format!("${place}::bigint[]"),
        Kind::Text => format!("${place}::text[]"),
        Kind::Bytes => format!("${place}::bytea[]"),
    });
    format!(
        "INSERT INTO countersign.{} ({}) OVERRIDING SYSTEM VALUE SELECT * FROM unnest({}) {}",
        table.name,
        names(table.columns),
        arrays.collect::<Vec<_>>().join(", "),
        on_conflict(table)
    )
}

/// Returns the part of the statement that replaces a row; a new store has some already.
fn on_conflict(table: &Table) -> String {
    let Some(key) = replaced_by(table) else { return String::new() };
    let replaced = table.columns[table.key..].iter().map(|column| format!("{0} = EXCLUDED.{0}", column.name));
    format!("ON CONFLICT ({key}) DO UPDATE SET {}", replaced.collect::<Vec<_>>().join(", "))
}

fn read(table: &Table, row: &Found) -> Result<Row, tokio_postgres::Error> {
    let value = |(at, column): (usize, &Column)| {
        Ok(match column.kind {
            Kind::Integer => row.try_get::<_, Option<i64>>(at)?.map(Value::Integer),
            Kind::Text => row.try_get::<_, Option<String>>(at)?.map(Value::Text),
            Kind::Bytes => row.try_get::<_, Option<Vec<u8>>>(at)?.map(Value::Bytes),
        }
        .unwrap_or(Value::Null))
    };
    table.columns.iter().enumerate().map(value).collect()
}

/// Values of one column.
enum Array {
    Integers(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Array {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Integer => Self::Integers(Vec::new()),
            Kind::Text => Self::Texts(Vec::new()),
            Kind::Bytes => Self::Bytes(Vec::new()),
        }
    }

    /// Adds a value; one of another type than the column's is NULL, which the verification finds.
    fn push(&mut self, value: Value) {
        match (self, value) {
            (Self::Integers(all), Value::Integer(number)) => all.push(Some(number)),
            (Self::Texts(all), Value::Text(text)) => all.push(Some(text)),
            (Self::Bytes(all), Value::Bytes(bytes)) => all.push(Some(bytes)),
            (Self::Integers(all), _) => all.push(None),
            (Self::Texts(all), _) => all.push(None),
            (Self::Bytes(all), _) => all.push(None),
        }
    }

    fn as_param(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Integers(all) => (all, Type::INT8_ARRAY),
            Self::Texts(all) => (all, Type::TEXT_ARRAY),
            Self::Bytes(all) => (all, Type::BYTEA_ARRAY),
        }
    }
}

/// Values of rows, column by column.
struct Arrays(Vec<Array>);

impl Arrays {
    fn of(table: &Table, rows: Vec<Row>) -> Self {
        let mut arrays: Vec<Array> = table.columns.iter().map(|column| Array::of(column.kind)).collect();
        for row in rows {
            arrays.iter_mut().zip(row).for_each(|(array, value)| array.push(value));
        }
        Self(arrays)
    }
}
