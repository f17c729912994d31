//! Advice on each reason why a credential is refused.

use crate::identity::RefusedCredential as Reason;

/// Returns what an operator can do about a refusal.
pub(super) fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::Missing => "Give one credential.",
        Reason::NotEnabled => {
            "The app takes JWTs of its issuers only: for opaque tokens configure kind = \"introspection\", for sessions of your own kind = \"session_endpoint\", for cookies its cookies."
        }
        Reason::Malformed => {
            "A JWT has three parts in base64url. Auth0 gives an opaque token, or one of five parts, where the app asks for no audience: let it ask for the API's identifier. Do the app and this command have the whole token?"
        }
        Reason::OwnToken => {
            "This is a token that Countersign minted for Braze. Present the session of the identity provider: it alone says who the user is."
        }
        Reason::UnknownIssuer => {
            "Compare issuer with the token's iss, byte for byte, the slash at its end too; for a preset, see that its values are of this project or tenant."
        }
        Reason::Algorithm => {
            "Let the provider sign with an asymmetric key (Supabase: Project Settings > JWT Keys; Auth0: the API's Signing Algorithm), or add the algorithm to algorithms."
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
