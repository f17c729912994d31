//! Users who log out, operators who end sessions and opt users out, and the purge.

use std::{sync::Arc, time::Duration};

use countersign::{
    domain::{ids::SessionId, session::Ended},
    issue::Revocation,
    outage::Pending,
    store::{Sessions, Users},
};

use super::{
    DAY,
    rules::status,
    world::{Mutant, Scope, SimEnd, Simulation, What, contents},
};
use crate::support::domain::{actor, requester};
use crate::support::switched_store::{Reach, Switch, SwitchedStore};

impl Simulation {
    pub async fn logout(&mut self, at: usize, session: usize) {
        let id = self.sessions[session].id;
        let token = self.sessions[session].tokens[self.sessions[session].latest].clone();
        let Some(node) = &self.slots[at].node else { return };
        let answer = node.issuer.revoke(&node.issuer.unseal(&token).unwrap(), requester()).await;
        let ended = self.has_ended(id);
        self.note(&format!("node {at}: logout of session {session}, answered: {}", answer.is_ok()));
        let is_over = ended || self.is_dead(&self.sessions[session]) || self.now >= contents(&token).expires;
        match &answer {
            Ok(_) => self.rule(is_over, "a logout was answered, and the session has not ended"),
            Err(refusal) => self.rule(status(refusal) == 503, "a logout is refused"),
        }
        if ended {
            self.ended(What::Session(id), answer.is_ok()).await;
            // The node itself has said so, before the others looked again.
            let is_done = matches!(answer, Ok(Revocation::Done));
            self.ends.iter_mut().filter(|end| end.what == What::Session(id)).for_each(|end| end.done |= is_done);
        }
    }

    /// An operator ends something by way of a node.
    pub async fn end(&mut self, at: usize, what: What) {
        let now = self.now;
        let Some(switch) = self.switch(at) else { return };
        let store = SwitchedStore(switch);
        let written = match what {
            What::Session(id) => store.end_session(id, Ended::Revoked, now, &actor()).await.map(drop),
            What::User((user_number, app)) => {
                let app = app.map(Self::app);
                store.end_sessions_of_user(Self::hash(user_number), app.as_ref(), now, &actor()).await.map(drop)
            }
            What::App(app) => {
                let app = app.map(Self::app);
                store.end_sessions_of_app(app.as_ref(), now, &actor()).await
            }
        };
        let exists = match what {
            What::Session(id) => self.has_ended(id),
            _ => self.slots[at].reach == Reach::AnswersLost || written.is_ok(),
        };
        self.note(&format!("node {at}: {what:?} ended: {exists}"));
        if exists {
            self.ended(what, written.is_ok()).await;
        }
    }

    /// Notes an end that the store has. It is done once each node that may serve has followed past it.
    async fn ended(&mut self, what: What, answered: bool) {
        self.ends.push(SimEnd { what, at: self.now, done: false });
        let (end, position) = (self.ends.len() - 1, self.store.ends_position().await.unwrap());
        self.pass(Duration::from_secs(1));
        self.tick_all().await;
        let followers = self.store.followers(self.now.minus(2 * DAY)).await.unwrap();
        self.ends[end].done = answered && Pending::among(&followers, position, self.now).is_empty();
    }

    /// Returns whether the session has an end of its own: an opt-out, which can be undone, is none.
    fn has_ended(&self, id: SessionId) -> bool {
        let sql = "SELECT count(*) FROM sessions WHERE id = ?1 AND ended IS NOT NULL";
        self.raw.query_row(sql, [id.0.as_slice()], |row| row.get::<_, u32>(0)).unwrap() > 0
    }

    fn switch(&self, at: usize) -> Option<Arc<Switch>> {
        Some(Arc::clone(&self.slots[at].node.as_ref()?.switch))
    }

    pub async fn opt(&mut self, at: usize, (user_number, app): Scope, out: bool) {
        let Some(switch) = self.switch(at) else { return };
        let store = SwitchedStore(switch);
        let (hash, name) = (Self::hash(user_number), app.map(Self::app));
        let written = if out {
            store.opt_out(hash, name.as_ref(), self.now, &actor()).await
        } else {
            store.opt_in(hash, name.as_ref(), self.now, &actor()).await
        };
        let exists = self.slots[at].reach == Reach::AnswersLost || written.is_ok();
        self.note(&format!("node {at}: user {user_number}, {app:?}: opted out {out}: {exists}"));
        if exists && out {
            self.opted_out.insert((user_number, app));
        } else if exists {
            self.opted_out.remove(&(user_number, app));
        }
    }

    /// Purges as a node does.
    pub async fn purge(&mut self) {
        self.note("purge");
        if self.mutant == Mutant::PurgeSevenDaysAfterEnd {
            let before = self.now.minus(7 * DAY).0;
            self.raw.execute("DELETE FROM sessions WHERE ended_at <= ?1", [before]).unwrap();
        }
        self.store.purge(self.now, 10_000).await.unwrap();
    }
}
