//! Conclusions about keys: codes 20, 25 and 27. Braze tries every key that it has for the app, so that one is refused
//! whose key is not there (or is no key, code 25); 20 is documented for a key that does not match, too.

use std::time::Duration;

use super::conclusion::{Conclusion, IN_FLIGHT, at, short};
use crate::{
    clock::UnixMillis,
    domain::{
        failure::{Cause, Confidence},
        ids::{AppName, Kid},
        key::KeyState,
        verdict::ErrorCode,
    },
    failures::{
        evidence::{AppFacts, FailureEvidence},
        key_history::{KeyFacts, Stay, StayEnd},
    },
};

/// Braze's advice for the time between calls that depend on each other; how long a new key takes is not documented.
const PROPAGATION: Duration = Duration::from_mins(5);

/// Time within which this node has certainly read the records of a new key.
const RENEWED: Duration = Duration::from_mins(1);

/// Question about one token and the key that signed it.
struct Question<'a> {
    evidence: &'a FailureEvidence<'a>,
    code: ErrorCode,
    kid: &'a Kid,
    key: &'a KeyFacts,
    app: &'a AppFacts,
    /// Time of the token's signature, where it is known.
    issued: Option<UnixMillis>,
    expires: Option<UnixMillis>,
    /// The refused token was examined: this key did sign it.
    proven: bool,
}

/// Concludes from the token that was issued with the refresh token, or else from the key that signs now.
pub(super) fn conclude(evidence: &FailureEvidence<'_>, code: ErrorCode) -> Conclusion {
    if let Some(token) = &evidence.token {
        let times = (Some(token.issued), Some(token.expires));
        return of_key(evidence, code, &token.kid, times, false);
    }
    let ring = evidence.installation.apps.get(evidence.app).map(|app| &app.ring);
    let mut signing =
        evidence.installation.keys.iter().filter(|(_, key)| Some(&key.ring) == ring && key.state == KeyState::Active);
    match signing.next() {
        Some((kid, _)) => of_key(evidence, code, kid, (None, None), false).at_most(Confidence::Likely),
        None => unknown(evidence, "no key signs for it, as far as this node knows"),
    }
}

/// Concludes from a refused token that this key signed.
pub(super) fn of_refused_token(
    evidence: &FailureEvidence<'_>,
    code: ErrorCode,
    kid: &Kid,
    expires: Option<UnixMillis>,
) -> Conclusion {
    of_key(evidence, code, kid, (None, expires), true)
}

fn of_key(
    evidence: &FailureEvidence<'_>,
    code: ErrorCode,
    kid: &Kid,
    (issued, expires): (Option<UnixMillis>, Option<UnixMillis>),
    proven: bool,
) -> Conclusion {
    let installation = evidence.installation;
    let Some(app) = installation.apps.get(evidence.app) else {
        return unknown(evidence, "the app is not in the configuration");
    };
    let Some(key) = installation.keys.get(kid) else {
        if installation.keys.is_empty() {
            return unknown(evidence, "this node has not read the records of its keys yet");
        }
        let text = format!(
            "app {}: key {} signed the token, and no ring of this installation has it",
            evidence.app,
            short(kid)
        );
        // A key that was just made is read within seconds.
        let is_new = issued.is_some_and(|issued| evidence.now.since(issued) < RENEWED);
        let confidence = if is_new { Confidence::Likely } else { Confidence::High };
        return Conclusion::high(Cause::OtherEnvironment, text).at_most(confidence);
    };
    let question = Question { evidence, code, kid, key, app, issued, expires, proven };
    if key.state == KeyState::Compromised {
        return question.compromised();
    }
    match key.last_stay(evidence.app) {
        Some(stay) if stay.since > evidence.now => question.added_since(stay.since),
        Some(stay) if stay.is_open() => question.listed(stay.since),
        Some(stay) => question.withdrawn(stay),
        None => question.never_there(),
    }
}

fn unknown(evidence: &FailureEvidence<'_>, why: &str) -> Conclusion {
    Conclusion::possible(
        Cause::Unknown,
        format!("nothing on record explains the failure of app {}: {why}", evidence.app),
    )
}

impl Question<'_> {
    fn at(&self, time: UnixMillis) -> String {
        at(time, self.evidence.now)
    }

    /// Beginning of a sentence: which key signs, or signed, since when.
    fn signer(&self) -> String {
        let key = short(self.kid);
        match (self.key.state, self.key.entered(KeyState::Active)) {
            (KeyState::Active, Some(since)) => format!("key {key} signs since {}", self.at(since)),
            (_, Some(since)) => format!("key {key} signed from {} on", self.at(since)),
            _ => format!("key {key} signed the token"),
        }
    }

    fn compromised(&self) -> Conclusion {
        let (app, now) = (self.evidence.app, self.evidence.now);
        let since =
            self.key.entered(KeyState::Compromised).map_or_else(String::new, |time| format!(" at {}", at(time, now)));
        let text = format!(
            "key {} was declared compromised{since}: app {app} refuses its tokens, as intended",
            short(self.kid)
        );
        if self.key.is_at(app) {
            Conclusion::likely(Cause::KeyCompromised, text)
        } else {
            Conclusion::high(Cause::KeyCompromised, text)
        }
    }

    /// The app had the key, and has it no more.
    fn withdrawn(&self, stay: Stay) -> Conclusion {
        let app = self.evidence.app;
        match (stay.end, self.expires) {
            (StayEnd::At(end), Some(expires)) if expires <= end => {
                let text = format!(
                    "the token of app {app} ended at {}, before key {} was withdrawn at {}: the device was away",
                    self.at(expires),
                    short(self.kid),
                    self.at(end)
                );
                Conclusion::high(Cause::ExpiredOffline, text)
            }
            (StayEnd::Vanished, Some(expires))
                if expires <= self.evidence.now && self.key.state == KeyState::Retired =>
            {
                let text = format!(
                    "the token of app {app} ended at {}, and its key {} is gone",
                    self.at(expires),
                    short(self.kid)
                );
                Conclusion::likely(Cause::ExpiredOffline, text)
            }
            (StayEnd::At(end), _) => {
                let until = self.expires.map_or_else(String::new, |expires| {
                    format!(", and its token was valid until {}", self.at(expires))
                });
                let text = format!("{}; app {app} lost it at {}{until}", self.signer(), self.at(end));
                Conclusion::high(Cause::KeyWithdrawnTooEarly, text)
            }
            (StayEnd::Vanished | StayEnd::Open, _) => {
                let text =
                    format!("{}; app {app} no longer lists it, and this service did not delete it", self.signer());
                Conclusion::high(Cause::KeyWithdrawnTooEarly, text)
            }
        }
    }

    /// The app got the key after the report: it was repaired meanwhile.
    fn added_since(&self, since: UnixMillis) -> Conclusion {
        let (app, signer, since) = (self.evidence.app, self.signer(), self.at(since));
        Conclusion::high(Cause::KeyNotPublished, format!("{signer}; app {app} has it since {since} only"))
    }

    /// The app never had the key, as far as is known.
    fn never_there(&self) -> Conclusion {
        let (app, signer) = (self.evidence.app, self.signer());
        if let Some(asked) = self.key.asked.get(app) {
            let text = format!(
                "{signer}; Braze was asked at {} to add it to app {app}, and has not listed it",
                self.at(*asked)
            );
            return Conclusion::high(Cause::KeyNotPublished, text);
        }
        let listed = self.listed_keys();
        if let Some((foreign, ring)) =
            listed.iter().find(|(_, key)| key.ring != self.key.ring).map(|(kid, key)| (kid, &key.ring))
        {
            let text =
                format!("{signer} in ring {}; app {app} lists key {} of ring {ring}", self.key.ring, short(foreign));
            return Conclusion::high(Cause::OtherEnvironment, text);
        }
        if let Some(other) = self.key.stays.keys().find(|other| self.key.is_at(other)) {
            let text = format!("{signer}; app {other} lists it, app {app} {}", lists(&listed));
            return Conclusion::high(Cause::KeyAtAnotherApp, text);
        }
        if self.app.by_hand {
            // Braze was not asked, and an operator may have added the key without confirming it.
            let text = format!("{signer}; nobody has confirmed that app {app} has it");
            return Conclusion::likely(Cause::KeyNotPublished, text);
        }
        let text = format!("{signer}; no app lists it, and app {app} {}", lists(&listed));
        Conclusion::high(Cause::KeyNotPublished, text)
    }

    /// Keys of this installation that the app lists.
    fn listed_keys(&self) -> Vec<(&Kid, &KeyFacts)> {
        let app = self.evidence.app;
        self.evidence.installation.keys.iter().filter(|(_, key)| key.is_at(app)).collect()
    }

    /// The app lists the key, as far as is known.
    fn listed(&self, since: UnixMillis) -> Conclusion {
        let (app, now) = (self.evidence.app, self.evidence.now);
        if self.code == ErrorCode::PublicKeyError {
            return self.not_a_key(since);
        }
        if let Some(conclusion) = self.previous_key() {
            return conclusion;
        }
        if now.since(since) < self.app.soak.max(PROPAGATION) {
            let text = format!(
                "{}; app {app} lists it only since {}: Braze may not use it everywhere yet",
                self.signer(),
                self.at(since)
            );
            return if self.app.by_hand {
                Conclusion::likely(Cause::KeyNotPropagated, text)
            } else {
                Conclusion::high(Cause::KeyNotPropagated, text)
            };
        }
        self.elsewhere(since)
    }

    /// The app has held the key for long, and Braze refuses it: the SDK asks another app of Braze, or the token is not
    /// the one that was issued.
    fn elsewhere(&self, since: UnixMillis) -> Conclusion {
        let app = self.evidence.app;
        let since = self.at(since);
        if self.code == ErrorCode::DecodingError && !self.proven {
            let text = format!(
                "app {app} lists key {} since {since}: the SDK may hold something else than the token",
                short(self.kid)
            );
            return Conclusion::possible(Cause::WrongTokenGiven, text);
        }
        if self.worked_before() {
            let text = format!(
                "{}; app {app} had it since {since}, and its tokens were good until now: somebody has deleted it at Braze",
                self.signer()
            );
            return Conclusion::likely(Cause::KeyWithdrawnTooEarly, text);
        }
        let (who, cause) = if self.app.by_hand {
            ("an operator confirmed that app", Cause::KeyAtAnotherApp)
        } else {
            ("Braze's list says that app", Cause::OtherEnvironment)
        };
        let text = format!(
            "{}; {who} {app} has it since {since}: the app in the field uses another app of Braze",
            self.signer()
        );
        if self.proven && !self.app.by_hand { Conclusion::high(cause, text) } else { Conclusion::likely(cause, text) }
    }

    /// The session used tokens of this key for a while. One that is refused from its login on is refreshed at once, again
    /// and again.
    fn worked_before(&self) -> bool {
        let session = self.evidence.session;
        let Some(token) = &self.evidence.token else { return false };
        let Ok(refreshes) = u32::try_from(session.refreshes) else { return false };
        if refreshes == 0 {
            return self.evidence.now.since(token.issued) > IN_FLIGHT;
        }
        let mean = token.issued.since(session.created) / refreshes;
        let signed_the_one_before =
            self.key.entered(KeyState::Active).is_some_and(|since| since <= token.issued.minus(mean));
        mean >= IN_FLIGHT && signed_the_one_before
    }

    fn not_a_key(&self, since: UnixMillis) -> Conclusion {
        let app = self.evidence.app;
        if self.app.by_hand {
            let text = format!(
                "Braze cannot read the keys of app {app}; an operator confirmed key {} there at {}",
                short(self.kid),
                self.at(since)
            );
            return Conclusion::high(Cause::KeyPastedWrongly, text);
        }
        let text =
            format!("Braze cannot read a key of app {app}; it lists key {} since {}", short(self.kid), self.at(since));
        Conclusion::likely(Cause::KeyPastedWrongly, text)
    }

    /// Just after a refresh, a report may be about the token before, by the key before.
    fn previous_key(&self) -> Option<Conclusion> {
        let (evidence, app) = (self.evidence, self.evidence.app);
        let issued =
            self.issued.filter(|issued| evidence.session.refreshes > 0 && evidence.now.since(*issued) < IN_FLIGHT)?;
        let signed = |key: &KeyFacts| key.ring == self.key.ring && key.entered(KeyState::Active).is_some();
        let gone = |key: &KeyFacts| match key.last_stay(app)?.end {
            StayEnd::At(end) if end <= issued && issued.since(end) < self.app.lifetime => Some(end),
            _ => None,
        };
        let others = evidence.installation.keys.iter().filter(|(kid, key)| *kid != self.kid && signed(key));
        let (kid, end) = others.filter_map(|(kid, key)| Some((kid, gone(key)?))).max_by_key(|(_, end)| *end)?;
        let text = format!("key {} signed the token before; app {app} lost it at {}", short(kid), self.at(end));
        Some(Conclusion::likely(Cause::KeyWithdrawnTooEarly, text))
    }
}

/// End of a sentence: keys of ours that an app lists.
fn lists(listed: &[(&Kid, &KeyFacts)]) -> String {
    let names: Vec<String> = listed.iter().take(3).map(|(kid, _)| short(kid)).collect();
    if names.is_empty() { "lists no key of ours".to_owned() } else { format!("lists only {}", names.join(" and ")) }
}

/// Key that a fix is about: the token's, or else the one that signs for the app.
pub(super) fn subject<'a>(evidence: &'a FailureEvidence<'_>) -> Option<&'a Kid> {
    let of_token = evidence.token.as_ref().map(|token| &token.kid);
    let installation = evidence.installation;
    let signs = |app: &AppName| {
        let ring = &installation.apps.get(app)?.ring;
        let mut keys = installation.keys.iter();
        keys.find(|(_, key)| key.ring == *ring && key.state == KeyState::Active).map(|(kid, _)| kid)
    };
    of_token.filter(|kid| installation.keys.contains_key(*kid)).or_else(|| signs(evidence.app))
}
