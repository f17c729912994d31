//! Row of the table of routes, and the call that its handler gets.

use std::{collections::HashMap, pin::Pin, sync::Arc, time::Duration};

use axum::body::Bytes;
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

use super::codes::{self, AdminCode};
use crate::{
    domain::{
        ids::{AppName, RingName, UserId, UserIdRules},
        operator::Role,
    },
    http::{Problem, RequestBody, RequestText},
    operate::{OperationError, OperationErrorKind, Operations},
};

/// Route of the operators' API.
pub struct AdminRoute {
    pub method: &'static str,
    /// Path below `/admin/v1`, with the names of its parameters in braces.
    pub path: &'static str,
    /// Name of the operation, as the trait `Operations` has it.
    pub operation: &'static str,
    /// Role that an operator needs.
    pub role: Role,
    /// True where it changes something.
    pub changes: bool,
    /// True where it creates something, so that `Idempotency-Key` makes it repeatable.
    pub creates: bool,
    /// True where it answers on the socket only.
    pub on_socket_only: bool,
    /// Summary for the OpenAPI document.
    pub summary: &'static str,
    /// Members of the query string.
    pub query: &'static [QueryMember],
    /// Schema of the body; `None`: there is none.
    pub body: Option<fn() -> RefOr<Schema>>,
    pub(super) handler: Handler,
}

/// Member of a query string.
#[derive(Clone, Copy, Debug)]
pub struct QueryMember {
    pub name: &'static str,
    pub description: &'static str,
    /// Least and greatest number; `None`: it is a name.
    pub range: Option<(u64, u64)>,
    pub required: bool,
}

/// Handler of a route: parse, one call, encode.
pub(super) type Handler = fn(Call) -> Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>>;

/// Row of a route that reads.
pub(super) const fn reads(path: &'static str, operation: &'static str, summary: &'static str) -> AdminRoute {
    AdminRoute {
        method: "GET",
        path,
        operation,
        role: Role::Viewer,
        changes: false,
        creates: false,
        on_socket_only: false,
        summary,
        query: &[],
        body: None,
        handler: |_| Box::pin(async { Err(Fault::Request(Problem::unavailable())) }),
    }
}

/// Row of a route that changes something.
pub(super) const fn changes(path: &'static str, operation: &'static str, summary: &'static str) -> AdminRoute {
    AdminRoute { method: "POST", role: Role::Operator, changes: true, ..reads(path, operation, summary) }
}

/// Schema of a body.
pub(super) fn schema<B: ToSchema>() -> RefOr<Schema> {
    B::schema()
}

/// Request that is authenticated and permitted.
pub(super) struct Call {
    pub(super) operations: Arc<dyn Operations>,
    pub(super) path: HashMap<String, String>,
    pub(super) query: HashMap<String, String>,
    pub(super) body: Bytes,
}

impl Call {
    /// Reads the body, as exactly this form.
    pub(super) fn body<B: RequestBody>(&self) -> Result<B, Problem> {
        RequestText(self.body.clone()).decode()
    }

    /// Parameter of the path.
    pub(super) fn segment(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// Ring in the path.
    pub(super) fn ring(&self) -> Result<RingName, Problem> {
        parsed("ring", self.segment("ring"))
    }

    /// Member of the query string.
    pub(super) fn member<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        self.query.get(name).map(|text| parsed(name, text)).transpose()
    }

    /// App in the query string.
    pub(super) fn app(&self) -> Result<Option<AppName>, Problem> {
        self.member("app")
    }

    /// Span of time in the query string, in milliseconds.
    pub(super) fn span(&self) -> Result<Duration, Problem> {
        Ok(Duration::from_millis(self.member("span")?.unwrap_or_default()))
    }
}

/// Parses a text of the request.
pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: T::Err| Problem::field(name, format!("{error}")))
}

/// Parses a user id, by the rules that hold for every app.
pub(super) fn user(id: &str) -> Result<UserId, Problem> {
    UserId::parse(id, UserIdRules::WIDEST).map_err(|error| Problem::field("user_id", error.to_string()))
}

/// Answer of a handler.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) json: Bytes,
    /// Id of what was made.
    pub(super) made: Option<String>,
}

impl Answer {
    /// Encodes an answer.
    pub(super) fn of(value: &impl Serialize) -> Result<Self, Fault> {
        let failed = |error: serde_json::Error| OperationError::new(OperationErrorKind::Failed, error.to_string());
        Ok(Self { json: serde_json::to_vec(value).map_err(failed)?.into(), made: None })
    }

    /// Encodes what was made.
    pub(super) fn made(value: &impl Serialize, id: impl Into<String>) -> Result<Self, Fault> {
        Ok(Self { made: Some(id.into()), ..Self::of(value)? })
    }
}

/// Reason why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// The request is at fault: nothing was done.
    Request(Problem),
    Operation(OperationError),
}

impl Fault {
    /// Kind of the error.
    pub(super) fn kind(&self) -> OperationErrorKind {
        match self {
            Self::Request(_) => OperationErrorKind::Invalid,
            Self::Operation(error) => error.kind,
        }
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Request(problem)
    }
}

impl From<OperationError> for Fault {
    fn from(error: OperationError) -> Self {
        Self::Operation(error)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Request(problem) => problem,
            Fault::Operation(error) => codes::of_error(error),
        }
    }
}

/// Makes the problem of a request that says two things.
pub(super) fn contradiction(detail: &'static str) -> Fault {
    Fault::Request(AdminCode::ClientError.problem(axum::http::StatusCode::BAD_REQUEST, detail))
}
