//! Schema of a failure in the OpenAPI document: the members that are read, under the names of every SDK.

use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{AnyOfBuilder, ObjectBuilder, SchemaType},
    },
};

/// Members of a failure that are read. Each may be absent, null or of another type; the first name that has a value
/// counts. Others are not read.
#[derive(ToSchema)]
#[schema(example = json!({ "error_code": 25, "reason": "PUBLIC_KEY_ERROR", "user_id": "u-1", "platform": "web", "sdk_version": "6.13.0" }))]
#[expect(dead_code, reason = "only its schema is used")]
struct SdkFailure {
    /// Braze's number, or text that holds it; -1 where Braze sent none (Android). Also `errorCode`, `code`.
    #[schema(value_type = Option<serde_json::Value>, example = 25)]
    error_code: (),
    /// Name of Braze's error, which counts where there is no number. Also `errorReason`, `error_reason`.
    #[schema(value_type = Option<serde_json::Value>, example = "PUBLIC_KEY_ERROR")]
    reason: (),
    /// User id of the SDK: only its relation to the session's is used. Also `userId`.
    #[schema(value_type = Option<serde_json::Value>, example = "u-1")]
    user_id: (),
    /// Refused token: leave it out. It is examined in memory and dropped. Also `original_signature`.
    #[schema(value_type = Option<serde_json::Value>)]
    signature: (),
    /// `web`, `android`, `ios`, `flutter`, `react_native`, `unity`, `cordova` or `maui`.
    #[schema(value_type = Option<serde_json::Value>, example = "web")]
    platform: (),
    /// Version of the SDK: two to four numbers.
    #[schema(value_type = Option<serde_json::Value>, example = "6.13.0")]
    sdk_version: (),
}

/// Schema of a failure: any JSON, with the members that are read.
pub(in crate::http) fn failure() -> RefOr<Schema> {
    let anything = ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some("Any other shape: counted"));
    let schema = AnyOfBuilder::new()
        .item(SdkFailure::schema())
        .item(anything)
        .description(Some(
            "Report of the SDK's callback, in the SDK's own form. It is never trusted, and no shape is refused.",
        ))
        .examples([
            json!({ "error_code": 25, "platform": "web" }),
            json!({ "errorCode": -1, "errorReason": "EXPIRED" }),
        ])
        .build();
    RefOr::T(schema.into())
}
