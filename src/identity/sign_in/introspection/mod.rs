//! Token introspection (RFC 7662): the provider is asked about an opaque credential.

mod client;
mod judgement;

use std::{net::IpAddr, sync::Arc};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::{
    NotSignedIn,
    answers::Accepted,
    claim_rules,
    endpoint::{Endpoint, Fault, NotAccepted, Shared},
    outbound::{JsonAnswer, OutboundError},
};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, UserIdRules},
        sign_in::IntrospectionRules,
    },
    identity::AppUser,
    secret::Secret,
};

/// Verifier of opaque credentials that an introspection endpoint is asked about.
pub(super) struct Verifier(Arc<Introspection>);

struct Introspection {
    rules: IntrospectionRules,
    endpoint: Endpoint,
}

impl AsRef<Endpoint> for Introspection {
    fn as_ref(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Verifier {
    pub(super) fn new(app: AppName, rules: IntrospectionRules, shared: Shared) -> Self {
        let endpoint = Endpoint::new(app, &rules.endpoint, rules.allow_private_addresses, shared);
        Self(Arc::new(Introspection { rules, endpoint }))
    }

    /// Verifies a bearer credential.
    ///
    /// # Errors
    /// [`NotSignedIn`].
    pub(super) async fn sign_in(
        &self,
        user_ids: UserIdRules,
        bearer: &str,
        source: Option<IpAddr>,
    ) -> Result<AppUser, NotSignedIn> {
        let credential = Secret::new(bearer.to_owned());
        let ask = move |this: Arc<Introspection>, asked| async move { this.ask(&credential, user_ids, asked).await };
        Endpoint::get_or_ask(&self.0, &["bearer", bearer], source, ask).await
    }
}

impl Introspection {
    async fn ask(
        &self,
        credential: &Secret<String>,
        user_ids: UserIdRules,
        asked: UnixMillis,
    ) -> Result<Accepted, NotAccepted> {
        let answer = judgement::read(self.post(credential, asked).await?)?;
        let now = self.endpoint.now()?;
        judgement::check(&answer, &self.rules, now)?;
        let user = claim_rules::user_id(&answer, &self.rules.user_id, user_ids)?;
        let login = judgement::login(&answer, asked)?;
        let app_user = AppUser { app: self.endpoint.app().clone(), user, login };
        Ok(Accepted { app_user, expires: judgement::time(&answer, "exp")? })
    }

    async fn post(
        &self,
        credential: &Secret<String>,
        asked: UnixMillis,
    ) -> Result<Result<JsonAnswer, OutboundError>, Fault> {
        let request = client::request(&self.rules, credential.expose(), asked)?;
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, form)]);
        if let Some(authorization) = &request.authorization {
            let unfit = |_| Fault::NoRequest("the client secret fits into no header".to_owned());
            let mut value = HeaderValue::from_str(authorization).map_err(unfit)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let to = self.endpoint.destination()?;
        Ok(self.endpoint.outbound().post(&to, headers, request.form.to_string()).await)
    }
}
