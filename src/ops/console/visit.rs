//! Visit: one request of an operator with a session, and the pages that say why something is not done.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use super::{
    ConsoleState,
    form::Fields,
    page::{Condition, Page, Reader, StateSentence, render_as},
};
use crate::{
    clock::UnixMillis,
    domain::operator::Role,
    operate::{OperationError, OperationErrorKind, Operations},
};

/// Request of an operator with a session; the guard has checked it.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) console: Arc<ConsoleState>,
    /// Everything that this operator can do, in his name.
    pub(super) operations: Arc<dyn Operations>,
    pub(super) reader: Reader,
    /// Section of the navigation that the route belongs to.
    pub(super) section: &'static str,
    pub(super) query: Fields,
    pub(super) form: Fields,
    pub(super) now: UnixMillis,
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parts.extensions.remove().ok_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

impl Visit {
    /// Frame of a page of this visit.
    pub(super) fn page(&self, title: impl Into<String>, state: StateSentence) -> Page {
        Page::new(title, self.section, state, &self.reader)
    }

    /// Page that says why an operation was not done.
    pub(super) fn failed(&self, error: &OperationError) -> Response {
        let status = match error.kind {
            OperationErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            OperationErrorKind::NotFound => StatusCode::NOT_FOUND,
            OperationErrorKind::Conflict => StatusCode::CONFLICT,
            OperationErrorKind::Forbidden => StatusCode::FORBIDDEN,
            OperationErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            OperationErrorKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let condition = if status.is_server_error() { Condition::Stopped } else { Condition::Attention };
        notice(
            status,
            &Notice {
                page: self.page("Not done", StateSentence::new(condition, &error.message, self.now)),
                lines: Vec::new(),
                back: self.section,
            },
        )
    }

    /// Page for a form whose subject has changed since it was shown, with the difference.
    pub(super) fn outdated(&self, difference: Vec<String>) -> Response {
        // The page that is looked at again is not the one of before.
        self.console.braze.forget();
        let sentence = "Nothing was done: what the form showed has changed since. Look at it again, and decide anew.";
        notice(
            StatusCode::CONFLICT,
            &Notice {
                page: self.page("It has changed", StateSentence::new(Condition::Attention, sentence, self.now)),
                lines: difference,
                back: self.section,
            },
        )
    }

    /// Page for an operator whose role does not allow this.
    pub(super) fn forbidden(&self) -> Response {
        let sentence = format!(
            "{} has the role {}, which reads and changes nothing. This needs the role {}: `countersign operators create \
             NAME --role {}` makes one.",
            self.reader.name,
            self.reader.role.as_str(),
            Role::Operator.as_str(),
            Role::Operator.as_str()
        );
        notice(
            StatusCode::FORBIDDEN,
            &Notice {
                page: self.page("Not allowed", StateSentence::new(Condition::Attention, sentence, self.now)),
                lines: Vec::new(),
                back: self.section,
            },
        )
    }
}

/// Page of one sentence.
#[derive(askama::Template)]
#[template(path = "notice.html")]
pub(super) struct Notice {
    pub(super) page: Page,
    /// Difference, or details.
    pub(super) lines: Vec<String>,
    pub(super) back: &'static str,
}

/// Renders a notice with a status.
pub(super) fn notice(status: StatusCode, notice: &Notice) -> Response {
    render_as(status, notice)
}

/// Renders a notice to somebody without a session.
pub(super) fn stranger_notice(status: StatusCode, title: &str, sentence: String) -> Response {
    let state = StateSentence { condition: Condition::Attention, sentence, at: None };
    let page = Page { title: title.to_owned(), section: "", state, who: None };
    notice(status, &Notice { page, lines: Vec::new(), back: "/console/login" })
}

/// Redirect to a page (303): a reload of it does not send a form again.
pub(super) fn see_other(path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, path.to_owned())]).into_response()
}

/// Handler of a page: its error becomes a page too.
pub(super) async fn answer<F>(visit: Visit, handler: impl FnOnce(Visit) -> F) -> Result<Response, Infallible>
where
    F: Future<Output = Result<Response, OperationError>>,
{
    let shown = visit.clone();
    Ok(handler(visit).await.unwrap_or_else(|error| shown.failed(&error)))
}
