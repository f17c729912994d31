//! Refusals in the OpenAPI document: each is a response of its own, with its headers, to which the routes refer. All of
//! them have the one schema of a problem document.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, Modify,
    openapi::{
        ContentBuilder, Header, Object, OpenApi, Ref, RefOr, Response, ResponseBuilder,
        schema::{Schema, Type},
    },
};

/// Header of a refusal: its name in the document, its name on the wire, its type, its description.
struct RefusalHeader(&'static str, &'static str, Type, &'static str);

/// Refusal that several routes give.
struct Refused {
    status: &'static str,
    /// Name of the response in the document.
    name: &'static str,
    description: &'static str,
    headers: &'static [&'static RefusalHeader],
}

const REQUEST_ID: RefusalHeader = RefusalHeader(
    "RequestId",
    "X-Request-Id",
    Type::String,
    "Id of the request: the caller's own, or a new one. The log has it too.",
);
const RETRY_AFTER: RefusalHeader =
    RefusalHeader("RetryAfter", "Retry-After", Type::Integer, "Seconds to wait; `retry` has it in milliseconds.");
const AUTHENTICATE: RefusalHeader = RefusalHeader(
    "WwwAuthenticate",
    "WWW-Authenticate",
    Type::String,
    "`Bearer`, where an API key or the credential of the app's user was refused, and not a refresh token.",
);
const RATE_LIMIT: RefusalHeader = RefusalHeader(
    "RateLimit",
    "RateLimit",
    Type::String,
    "Name of the limit, what is left of it and the seconds until there is more (draft-ietf-httpapi-ratelimit-headers).",
);
const RATE_LIMIT_POLICY: RefusalHeader = RefusalHeader(
    "RateLimitPolicy",
    "RateLimit-Policy",
    Type::String,
    "Name of the limit, its burst and the seconds in which that recovers (draft-ietf-httpapi-ratelimit-headers).",
);
const HEADERS: [&RefusalHeader; 5] = [&REQUEST_ID, &RETRY_AFTER, &AUTHENTICATE, &RATE_LIMIT, &RATE_LIMIT_POLICY];

const fn refused(status: &'static str, name: &'static str, description: &'static str) -> Refused {
    Refused { status, name, description, headers: &[&REQUEST_ID] }
}

/// Refusals of a body, of a rate, and of a service that cannot answer.
const GENERAL: [Refused; 6] = [
    refused("400", "Malformed", "Malformed request; `errors` names every member at fault"),
    refused("408", "TooSlow", "The body took too long to arrive"),
    refused("413", "TooLarge", "Body too large"),
    refused("415", "WrongMediaType", "Not `application/json`"),
    Refused {
        headers: &[&REQUEST_ID, &RETRY_AFTER, &RATE_LIMIT, &RATE_LIMIT_POLICY],
        ..refused("429", "TooManyRequests", "Too many requests")
    },
    Refused {
        headers: &[&REQUEST_ID, &RETRY_AFTER],
        ..refused("503", "Later", "Overloaded, or the signer or the store is unavailable")
    },
];

/// Refusals of a credential.
const OF_CREDENTIALS: [Refused; 3] = [
    Refused {
        headers: &[&REQUEST_ID, &AUTHENTICATE],
        ..refused("401", "Unauthorized", "Credential or refresh token refused")
    },
    refused("403", "Forbidden", "Not allowed for this app, or the user is opted out"),
    refused("409", "UserMismatch", "The session belongs to another user"),
];

/// Refusals that any of the token routes may give.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        GENERAL.iter().chain(&OF_CREDENTIALS).map(Refused::reference).collect()
    }
}

/// Refusals of a route that answers the same whatever the credential is worth.
pub(super) struct BodyRefusals;

impl IntoResponses for BodyRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        GENERAL.iter().map(Refused::reference).collect()
    }
}

impl Refused {
    fn reference(&self) -> (String, RefOr<Response>) {
        (self.status.to_owned(), Ref::from_response_name(self.name).into())
    }

    fn response(&self) -> Response {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let mut response =
            ResponseBuilder::new().description(self.description).content("application/problem+json", content).build();
        let header = |header: &&RefusalHeader| {
            (header.1.to_owned(), RefOr::Ref(Ref::new(format!("#/components/headers/{}", header.0))))
        };
        response.headers = self.headers.iter().map(header).collect();
        response
    }
}

/// Adds the responses and the headers to the document's components.
pub(super) struct RefusalComponents;

impl Modify for RefusalComponents {
    fn modify(&self, openapi: &mut OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let refusals = GENERAL.iter().chain(&OF_CREDENTIALS);
        components.responses.extend(refusals.map(|refused| (refused.name.to_owned(), refused.response().into())));
        components.headers.extend(HEADERS.map(|RefusalHeader(name, _, kind, description)| {
            let mut header = Header::new(Schema::Object(Object::with_type(kind.clone())));
            header.description = Some((*description).to_owned());
            ((*name).to_owned(), RefOr::T(header))
        }));
    }
}
