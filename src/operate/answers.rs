//! Schemas of the answers of the operators' API, made from the types that are answered.

use std::collections::BTreeMap;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Ref, RefOr, Schema,
        schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, OneOfBuilder, SchemaType, Type},
    },
};

use super::{
    About, AuditRecord, BrazeDiff, BrazeKeys, Check, ClientApiKey, CompromiseForecast, Configuration, ConfirmedKey,
    Consequences, CreatedClient, CreatedOperator, EndedSessions, FailureOverview, MovedKey, OperatorEntry, OptedOut,
    PrintedCheckpoint, ReplacedAuditKey, RingOutcome, RingPlan, RingStatus, UserSession,
};
use crate::{
    audit::VerifiedLog,
    domain::{
        ids::{AppName, ClientName, RingName},
        key::{KeyLocation, KeyRecord},
        rotation::NodeReport,
    },
    store::{self, ActivityCount, FailureCount},
};

/// Schemas by name, to which answers refer.
#[derive(Default)]
pub struct AnswerSchemas(BTreeMap<String, RefOr<Schema>>);

/// Answer of an operation, by the name that the trait [`Operations`](super::Operations) has for it.
type Row = (&'static str, fn(&mut AnswerSchemas) -> RefOr<Schema>);

const ANSWERS: &[Row] = &[
    ("about", AnswerSchemas::of::<About>),
    ("keys", |known| list(known.of::<KeyRecord>())),
    ("key", AnswerSchemas::of::<KeyRecord>),
    ("generate_key", AnswerSchemas::of::<KeyRecord>),
    ("confirm_key", AnswerSchemas::of::<ConfirmedKey>),
    ("forecast_compromise", |known| optional(known.of::<CompromiseForecast>())),
    ("compromise", AnswerSchemas::of::<Consequences>),
    ("move_keys", |known| list(known.of::<MovedKey>())),
    ("erase_key", |known| list(known.of::<KeyLocation>())),
    ("rings", |known| list(known.of::<RingName>())),
    ("apps_by_hand", |known| list(known.of::<AppName>())),
    ("rotation_plan", AnswerSchemas::of::<RingPlan>),
    ("rotation_status", AnswerSchemas::of::<RingStatus>),
    ("rotate", |known| either(known.of::<RingOutcome>(), known.of::<RingPlan>())),
    ("braze_keys", AnswerSchemas::of::<BrazeKeys>),
    ("braze_diff", AnswerSchemas::of::<BrazeDiff>),
    ("clients", |known| list(known.of::<ClientApiKey>())),
    ("create_client", AnswerSchemas::of::<CreatedClient>),
    ("revoke_client", |known| optional(known.of::<ClientName>())),
    ("opt_out", AnswerSchemas::of::<OptedOut>),
    ("opt_in", |_| bool::schema()),
    ("end_sessions", AnswerSchemas::of::<EndedSessions>),
    ("live_sessions", |_| u64::schema()),
    ("user_sessions", |known| list(known.of::<UserSession>())),
    ("failures", AnswerSchemas::of::<FailureOverview>),
    ("failure_counts", |known| list(known.of::<FailureCount>())),
    ("activity", |known| list(known.of::<ActivityCount>())),
    ("audit_records", |known| part(known.of::<AuditRecord>())),
    ("audit_leaves", |_| part(String::schema())),
    ("verify_audit", AnswerSchemas::of::<VerifiedLog>),
    ("audit_checkpoint", AnswerSchemas::of::<PrintedCheckpoint>),
    ("audit_key", |_| String::schema()),
    ("replace_audit_key", AnswerSchemas::of::<ReplacedAuditKey>),
    ("checks", |known| list(known.of::<Check>())),
    ("nodes", |known| list(known.of::<NodeReport>())),
    ("schema", AnswerSchemas::of::<store::Schema>),
    ("configuration", AnswerSchemas::of::<Configuration>),
    ("operators", |known| list(known.of::<OperatorEntry>())),
    ("create_operator", AnswerSchemas::of::<CreatedOperator>),
    ("revoke_operator", |_| null()),
];

impl AnswerSchemas {
    /// Returns the schema of an operation's answer; `None` for the name of no operation.
    pub fn answer(&mut self, operation: &str) -> Option<RefOr<Schema>> {
        let (_, schema) = ANSWERS.iter().find(|(name, _)| *name == operation)?;
        Some(schema(self))
    }

    /// Schemas to which the answers refer that were asked for.
    pub fn into_components(self) -> BTreeMap<String, RefOr<Schema>> {
        self.0
    }

    /// Reference to the schema of a type, which is kept with those that it refers to.
    fn of<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let mut nested = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut nested);
        self.0.extend(nested);
        Ref::from_schema_name(T::name()).into()
    }
}

fn list(items: RefOr<Schema>) -> RefOr<Schema> {
    ArrayBuilder::new().items(items).into()
}

fn part(items: RefOr<Schema>) -> RefOr<Schema> {
    let next = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Integer, Type::Null]))
        .description(Some("Value of `from` for the next part; `null` after the last item."));
    let part = ObjectBuilder::new().property("items", list(items)).required("items");
    Schema::from(part.property("next", next).required("next")).into()
}

fn optional(value: RefOr<Schema>) -> RefOr<Schema> {
    Schema::from(OneOfBuilder::new().item(null()).item(value)).into()
}

fn either(one: RefOr<Schema>, other: RefOr<Schema>) -> RefOr<Schema> {
    Schema::from(AnyOfBuilder::new().item(one).item(other)).into()
}

fn null() -> RefOr<Schema> {
    Schema::from(ObjectBuilder::new().schema_type(Type::Null)).into()
}
