//! Who is asking, and for which user.
//!
//! [`AppUser`] is the only thing a token can be minted for, and this room is its only maker: from a backend that
//! proved itself with an API key and vouches for its user, or from a session that such a login began. The app's own
//! sign-in joins here later as another way to make one.

mod api_keys;

use crate::domain::{
    ids::{AppName, UserId},
    refresh_token::Presented,
};

pub use api_keys::{ApiKeys, Caller, NotScoped, Unauthenticated};

/// A user on an app, vouched for. Only this room makes one.
#[derive(Clone, Debug)]
pub struct AppUser {
    app: AppName,
    user: UserId,
}

impl AppUser {
    /// The user whose session a refresh token is: the login that began it was vouched for.
    pub fn of_session(presented: &Presented) -> Self {
        Self { app: presented.app.clone(), user: presented.user.clone() }
    }

    /// The user an operator names, who has the keys anyway; never on behalf of a request.
    pub fn named_by_operator(app: AppName, user: UserId) -> Self {
        Self { app, user }
    }

    /// The app.
    pub fn app(&self) -> &AppName {
        &self.app
    }

    /// The user.
    pub fn user(&self) -> &UserId {
        &self.user
    }
}
