//! Frame of every page: title, one sentence of state, navigation, and the operator who reads it.

use std::fmt;

use askama::filters::HtmlSafe;
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};

use super::html::{Escaped, Prose, ShownTime};
use crate::{
    clock::UnixMillis,
    domain::operator::{OperatorName, Role},
    http::OwnBody,
};

/// Condition that a state sentence reports. It has a shape and a word, so that colour is never alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    /// Nothing to judge: a description of the page.
    Neutral,
    Serving,
    Attention,
    Stopped,
}

impl Condition {
    /// Shape, word and class.
    fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Neutral => ("", "", "muted"),
            Self::Serving => ("●", "serving", "ok"),
            Self::Attention => ("▲", "attention", "warn"),
            Self::Stopped => ("■", "stopped", "bad"),
        }
    }
}

/// State sentence of a page: shape, word, sentence, time.
pub(super) struct StateSentence {
    pub(super) condition: Condition,
    pub(super) sentence: String,
    pub(super) at: Option<UnixMillis>,
}

impl StateSentence {
    /// Makes the sentence of a condition at a time.
    pub(super) fn new(condition: Condition, sentence: impl Into<String>, at: UnixMillis) -> Self {
        Self { condition, sentence: sentence.into(), at: Some(at) }
    }

    /// Makes a sentence that judges nothing.
    pub(super) fn neutral(sentence: impl Into<String>) -> Self {
        Self { condition: Condition::Neutral, sentence: sentence.into(), at: None }
    }

    /// The shape and the word, as in a row of a table or a list.
    pub(super) fn mark(condition: Condition, word: &str) -> String {
        let (shape, _, class) = condition.parts();
        format!("<span class=\"mark\"><b class=\"{class}\">{shape} {}</b></span>", Escaped(word))
    }
}

impl HtmlSafe for StateSentence {}

impl fmt::Display for StateSentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shape, word, class) = self.condition.parts();
        write!(f, "<p class=\"state\">")?;
        if self.condition != Condition::Neutral {
            write!(f, "<b class=\"{class}\"><span aria-hidden=\"true\">{shape}</span> {word}</b> ")?;
        }
        write!(f, "{}", Prose(self.sentence.clone()))?;
        if let Some(at) = self.at {
            write!(f, " <small>{}</small>", ShownTime(at))?;
        }
        write!(f, "</p>")
    }
}

/// Section of the console: an entry of the navigation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
}

/// Sections in the order of the navigation.
pub(super) const SECTIONS: &[Section] = &[
    Section { name: "Overview", path: "/console" },
    Section { name: "Keys", path: "/console/keys" },
    Section { name: "Rotation", path: "/console/rotation" },
    Section { name: "Failures", path: "/console/failures" },
    Section { name: "Users", path: "/console/users" },
    Section { name: "Callers", path: "/console/callers" },
    Section { name: "Nodes", path: "/console/nodes" },
    Section { name: "Audit", path: "/console/audit" },
    Section { name: "Doctor", path: "/console/doctor" },
];

/// Operator who reads a page.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) name: OperatorName,
    pub(super) role: Role,
    /// Token that each form of this session sends.
    pub(super) csrf: String,
}

/// Frame of a page. A template has it as its field `page`, and begins with `{% extends "frame.html" %}`.
pub(super) struct Page {
    pub(super) title: String,
    /// Path of the section that the page belongs to.
    pub(super) section: &'static str,
    pub(super) state: StateSentence,
    /// `None` on the page that logs in.
    pub(super) who: Option<Reader>,
}

impl Page {
    /// Makes the frame of a page that an operator reads.
    pub(super) fn new(title: impl Into<String>, section: &'static str, state: StateSentence, who: &Reader) -> Self {
        Self { title: title.into(), section, state, who: Some(who.clone()) }
    }

    /// True where the page belongs to this section.
    pub(super) fn is_at(&self, section: &Section) -> bool {
        self.section == section.path
    }

    /// True where the operator may change something: buttons are shown to nobody else.
    pub(super) fn may_change(&self) -> bool {
        self.who.as_ref().is_some_and(|who| who.role == Role::Operator)
    }

    /// Token for the forms of this page.
    pub(super) fn csrf(&self) -> &str {
        self.who.as_ref().map_or("", |who| &who.csrf)
    }
}

/// Renders a page.
pub(super) fn render(page: &impl askama::Template) -> Response {
    render_as(StatusCode::OK, page)
}

/// Renders a page with a status.
pub(super) fn render_as(status: StatusCode, page: &impl askama::Template) -> Response {
    match page.render() {
        Ok(html) => (status, OwnBody, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page of the console cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
