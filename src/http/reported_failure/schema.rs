//! Schema of a failure in the OpenAPI document: the members that are read, under the names of every SDK.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::SchemaType},
};

/// The report of the SDK's callback, in the SDK's own form: any JSON value. It is never trusted. These members are read, of
/// which each may be absent, null or of another type; others are not.
#[derive(ToSchema)]
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

/// Schema of a failure: any JSON value, with the members that are read where it is an object.
pub(in crate::http) fn failure() -> RefOr<Schema> {
    let mut schema = SdkFailure::schema();
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        object.schema_type = SchemaType::AnyValue;
        object.required.clear();
    }
    schema
}
