//! Requester: the HTTP request behind an act, borrowed, and the parties that it may speak for.

use super::{
    audit::Actor,
    ids::{AppName, ClientName},
};

/// HTTP request that may cause an act. Most cause none that is recorded: an [`Actor`] is made only where one does.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'a> {
    pub request_id: &'a str,
    /// Backend whose API key came with the request; `None`: an app or a provider.
    pub client: Option<&'a ClientName>,
}

impl<'a> Requester<'a> {
    /// Request of an app or of a provider.
    pub fn new(request_id: &'a str) -> Self {
        Self { request_id, client: None }
    }

    /// Request of a backend.
    pub fn of_client(request_id: &'a str, client: &'a ClientName) -> Self {
        Self { request_id, client: Some(client) }
    }

    /// The app that presents a refresh token. Whoever holds the token can do so.
    pub fn presenter(self, app: &AppName) -> Actor {
        self.actor(format!("app {app}, presenter of its refresh token"))
    }

    /// An identity provider, by its issuer.
    pub fn provider(self, issuer: &str) -> Actor {
        self.actor(format!("identity provider {issuer}"))
    }

    /// The service itself, which repairs what the request left behind.
    pub fn service(self) -> Actor {
        self.actor(match self.client {
            Some(client) => format!("service, for client {client}"),
            None => Actor::service().name,
        })
    }

    fn actor(self, name: String) -> Actor {
        Actor::of_request(name, self.request_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_names_the_party_and_the_request() {
        let (app, client) = ("web".parse().unwrap(), "backend".parse().unwrap());
        let requester = Requester::new("r-1");
        assert_eq!(requester.presenter(&app), Actor::of_request("app web, presenter of its refresh token", "r-1"));
        let issuer = "https://id.example.com";
        assert_eq!(requester.provider(issuer), Actor::of_request("identity provider https://id.example.com", "r-1"));
        assert_eq!(requester.service(), Actor::of_request("service", "r-1"));
        let by_client = Requester::of_client("r-2", &client).service();
        assert_eq!(by_client, Actor::of_request("service, for client backend", "r-2"));
    }
}
