//! Advice on each reason why a credential is refused.

use crate::identity::{CredentialRefusal, RefusedCredential as Reason, RuleName};

/// Returns what an operator can do about a refusal.
pub(super) fn advice(refusal: &CredentialRefusal) -> &'static str {
    match (refusal.reason, refusal.rule.as_ref().map(RuleName::as_str)) {
        (Reason::RequiredClaim, Some("exp" | "iat" | "nbf")) => {
            "Every token must have exp and iat, as whole seconds: let the provider put them in. No setting changes that."
        }
        (Reason::Inactive, Some("status 404")) => {
            "Is the path of the session endpoint's url right? Where it is, the session has ended: let the user log in again."
        }
        (reason, _) => advice_on(reason),
    }
}

fn advice_on(reason: Reason) -> &'static str {
    match reason {
        Reason::Missing => "Give one credential.",
        Reason::NotEnabled => {
            "The app takes JWTs of its issuers only: for opaque tokens configure kind = \"introspection\", for sessions of your own kind = \"session_endpoint\", for cookies its cookies."
        }
        Reason::Malformed => {
            "Give the whole token, and nothing else. For opaque tokens configure kind = \"introspection\" or kind = \"session_endpoint\", or let the provider give a JWT (Auth0: the app must ask for an audience, the API's identifier)."
        }
        Reason::OwnToken => {
            "This is a token that Countersign minted for Braze. Present the session of the identity provider: it alone says who the user is."
        }
        Reason::UnknownIssuer => {
            "Compare issuer with the token's iss, byte for byte, the slash at its end too; for a preset, see that its values are of this project or tenant."
        }
        Reason::Algorithm => {
            "Let the provider sign with an asymmetric key (Supabase: Project Settings > JWT Keys; Auth0: the API's Signing Algorithm). An asymmetric one can be added to algorithms; HS256, HS384, HS512 and none never."
        }
        Reason::Header => {
            "A header that brings its own key, or must be understood, is never accepted: the provider must leave it out."
        }
        Reason::TokenType => {
            "This is another kind of token: present an ID token or access token, never a refresh or logout token, or add its typ to token_types."
        }
        Reason::UnknownKey => {
            "The provider's key set lacks the key: `countersign doctor` shows the keys it has. Is it the token of another project or environment?"
        }
        Reason::Signature => {
            "The token was changed, or another provider with the same kid made it: get a new one from the provider."
        }
        Reason::Expired => {
            "Present a fresh one: SDKs of providers renew it when asked (getIdToken, getAccessTokenSilently, getSession)."
        }
        Reason::NotYetValid => "Compare this machine's clock with the provider's.",
        Reason::TooOld => "It was issued longer ago than max_age: let the app renew it, or raise max_age.",
        Reason::Audience => {
            "The provider made it for somebody else: let the app ask for one of the accepted ones, or add this one to the audience, if it is yours."
        }
        Reason::RequiredClaim => {
            "The preset or required_claims ask for it: `countersign config dump` shows all rules. Is it the right kind of token (token_use)?"
        }
        Reason::RefusedClaim => {
            "This is no logged-in user by the preset or by refused_claims: an anonymous account, a machine, a pending session, or somebody who acts for another."
        }
        Reason::UserId => {
            "See user_id_claim, verified_email, and the app's max_user_id_bytes and allow_invisible_characters."
        }
        Reason::Inactive => "The session has ended, or is unknown there: let the user log in again.",
        Reason::SignedOut => "The user logged out at the provider after it was issued: let the user log in again.",
    }
}
