//! Pages that were shown lately, for the time in which the store is out of reach.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    http::{StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};

use super::{html::ShownTime, page::StateSentence};
use crate::{clock::UnixMillis, domain::operator::ConsoleSecret, http::OwnBody};

/// Largest number of pages that are kept.
const MOST: usize = 32;
/// Largest page that is kept.
const LARGEST: usize = 256 * 1024;
/// Longest time for which a page is kept. Nobody who lost his session longer ago sees one.
const LONGEST: Duration = Duration::from_mins(15);

/// Session and page.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    session: [u8; 32],
    path: String,
}

impl Key {
    /// Names the page that a session asks for.
    pub(super) fn of(secret: &ConsoleSecret, uri: &Uri) -> Self {
        Self { session: secret.hash().0, path: uri.path_and_query().map_or_else(String::new, ToString::to_string) }
    }
}

/// Pages as they were shown last.
#[derive(Default)]
pub(super) struct KeptPages(Mutex<VecDeque<(Key, UnixMillis, String)>>);

impl KeptPages {
    /// Keeps a page that is shown.
    pub(super) async fn keep(&self, key: Key, now: UnixMillis, response: Response) -> Response {
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            return self.find(&key, now).unwrap_or(response);
        }
        let is_page =
            response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        if response.status() != StatusCode::OK || !is_page {
            return response;
        }
        let (parts, body) = response.into_parts();
        let Ok(bytes) = to_bytes(body, usize::MAX).await else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        if bytes.len() <= LARGEST {
            let html = String::from_utf8_lossy(&bytes).into_owned();
            let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            pages.retain(|(own, at, _)| *own != key && now.since(*at) < LONGEST);
            pages.truncate(MOST - 1);
            pages.push_front((key, now, html));
        }
        Response::from_parts(parts, Body::from(bytes))
    }

    /// Forgets the pages of a session that is over.
    pub(super) fn forget(&self, secret: &ConsoleSecret) {
        let session = secret.hash().0;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(key, _, _)| key.session != session);
    }

    /// Finds a page as it was shown last; its state sentence says of when it is.
    pub(super) fn find(&self, key: &Key, now: UnixMillis) -> Option<Response> {
        let pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, at, html) = pages.iter().find(|(own, at, _)| own == key && now.since(*at) < LONGEST)?;
        let (before, rest) = html.split_once("<!--state-->")?;
        let (_, after) = rest.split_once("<!--/state-->")?;
        let stale = StateSentence::mark(super::page::Condition::Stopped, "stale");
        let sentence = format!(
            "<p class=\"state\">{stale} As of {}, store out of reach: nothing can be changed, and this is the state of then.</p>",
            ShownTime(*at)
        );
        Some((StatusCode::SERVICE_UNAVAILABLE, OwnBody, Html(format!("{before}{sentence}{after}"))).into_response())
    }
}
