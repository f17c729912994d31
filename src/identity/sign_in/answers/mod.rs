//! Answers of endpoints about opaque credentials: one question at a time for a credential, and the answer is kept for a
//! few seconds.

mod kept;

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::hmac;
use tokio::sync::watch;

use self::kept::KeptAnswers;
use super::NotSignedIn;
use crate::{
    clock::UnixMillis,
    domain::ids::AppName,
    identity::AppUser,
    secret::{self, NoEntropy, Secret, SystemEntropy},
};

/// Number of answers that are kept, of all apps together.
const CAPACITY: usize = 10_000;

/// Time after which a client may ask again where there was no answer.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Outcome where the credential can be neither accepted nor refused.
pub(super) fn unavailable(why: impl Into<String>) -> NotSignedIn {
    NotSignedIn::Unavailable { retry_after: RETRY_AFTER, why: why.into() }
}

/// Keyed hash of app, verifier and credential.
pub(super) type AnswerKey = [u8; 32];

/// Credential that an endpoint vouched for.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    pub(super) app_user: AppUser,
    /// End of the credential's life, where the endpoint told it.
    pub(super) expires: Option<UnixMillis>,
}

/// Outcome of a question. A refusal is kept too, a failure never.
pub(super) type Outcome = Result<Accepted, NotSignedIn>;

/// Answers about the credentials of all apps.
pub(super) struct Answers {
    /// Made at the first question: only this process can tell whose answer is whose.
    mac: OnceLock<hmac::Key>,
    state: Mutex<State>,
    verifiers: AtomicU64,
}

struct State {
    kept: KeptAnswers,
    /// Questions that are being asked. Whoever has the same one waits for its outcome.
    asking: HashMap<AnswerKey, watch::Receiver<Option<Outcome>>>,
}

impl Default for Answers {
    fn default() -> Self {
        let state = State { kept: KeptAnswers::new(CAPACITY), asking: HashMap::new() };
        Self { mac: OnceLock::new(), state: Mutex::new(state), verifiers: AtomicU64::new(0) }
    }
}

impl Answers {
    /// Returns a number that no verifier has yet.
    pub(super) fn next_verifier(&self) -> u64 {
        self.verifiers.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the key of a credential. `verifier` differs for each verifier and after each reload, so that no answer is
    /// judged by rules of another.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub(super) fn key(&self, app: &AppName, verifier: u64, credential: &[&str]) -> Result<AnswerKey, NoEntropy> {
        let mut context = hmac::Context::with_key(self.mac()?);
        context.update(&verifier.to_be_bytes());
        for part in std::iter::once(app.as_str()).chain(credential.iter().copied()) {
            // With the lengths, two lists of parts never make the same bytes.
            context.update(&part.len().to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut key = AnswerKey::default();
        key.copy_from_slice(context.sign().as_ref());
        Ok(key)
    }

    fn mac(&self) -> Result<&hmac::Key, NoEntropy> {
        if let Some(mac) = self.mac.get() {
            return Ok(mac);
        }
        let bytes = Secret::new(secret::random::<32>(&SystemEntropy)?);
        Ok(self.mac.get_or_init(|| hmac::Key::new(hmac::HMAC_SHA256, bytes.expose())))
    }

    /// Returns the kept answer, or the outcome of the question. The question is asked in a task of its own: whoever
    /// began it may go away while others wait for it.
    pub(super) async fn get_or_ask<Question>(
        self: &Arc<Self>,
        key: AnswerKey,
        now: UnixMillis,
        question: impl FnOnce() -> Question,
    ) -> Result<AppUser, NotSignedIn>
    where
        Question: Future<Output = Outcome> + Send + 'static,
    {
        let mut outcome = match self.find(key, now) {
            Found::Kept(kept) => return kept.map(|accepted| accepted.app_user),
            Found::Asking(outcome) => outcome,
            Found::Nothing(outcome, done) => {
                let asked = Asked { answers: Arc::clone(self), key, at: now, done };
                let question = question();
                tokio::spawn(async move { asked.finish(question.await) });
                outcome
            }
        };
        // The sender is gone without an outcome where the task panicked, or where the process ends.
        let outcome = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        outcome
            .unwrap_or_else(|| Err(unavailable("the question ended without an answer")))
            .map(|accepted| accepted.app_user)
    }

    /// Finds the answer or the running question, or begins one.
    fn find(&self, key: AnswerKey, now: UnixMillis) -> Found {
        let mut state = self.state();
        if let Some(kept) = state.kept.get(&key, now) {
            return Found::Kept(kept.clone().map_err(NotSignedIn::Refused));
        }
        if let Some(outcome) = state.asking.get(&key) {
            return Found::Asking(outcome.clone());
        }
        let (done, outcome) = watch::channel(None);
        state.asking.insert(key, outcome.clone());
        Found::Nothing(outcome, done)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Found {
    Kept(Outcome),
    Asking(watch::Receiver<Option<Outcome>>),
    Nothing(watch::Receiver<Option<Outcome>>, watch::Sender<Option<Outcome>>),
}

/// Question that is being asked. However it ends, the next request may ask again.
struct Asked {
    answers: Arc<Answers>,
    key: AnswerKey,
    at: UnixMillis,
    done: watch::Sender<Option<Outcome>>,
}

impl Asked {
    fn finish(self, outcome: Outcome) {
        let answer = match &outcome {
            Ok(accepted) => Some(Ok(accepted.clone())),
            Err(NotSignedIn::Refused(reason)) => Some(Err(reason.clone())),
            Err(NotSignedIn::Unavailable { .. } | NotSignedIn::ClockStopped(_)) => None,
        };
        if let Some(answer) = answer {
            self.answers.state().kept.keep(self.key, answer, self.at);
        }
        self.done.send_replace(Some(outcome));
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.answers.state().asking.remove(&self.key);
    }
}
