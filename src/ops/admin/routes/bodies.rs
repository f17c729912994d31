//! Rules of the bodies that no schema expresses.

use crate::{
    domain::{
        ids::{AppName, ClientName, RingName},
        operator::{OperatorName, Role},
    },
    http::RequestBody,
    operate::wire::{
        ConfirmKey, CreateClient, CreateOperator, EndSessions, GenerateKey, MoveKeys, OneUser, Reason, Rotate,
        SignAudit, UserOfApp, VerifyAudit,
    },
};

/// Returns the fault of a text that should be a name.
fn fault_of_name(member: &str, text: &str) -> Option<String> {
    fn fault<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Option<String> {
        text.parse::<T>().err().map(|error| error.to_string())
    }
    match member {
        "app" => fault::<AppName>(text),
        "ring" => fault::<RingName>(text),
        "client" => fault::<ClientName>(text),
        "name" => fault::<OperatorName>(text),
        "role" => text.parse::<Role>().err().map(|_| "must be \"viewer\" or \"operator\"".to_owned()),
        "to" => (!matches!(text, "file" | "store")).then(|| "must be \"file\" or \"store\"".to_owned()),
        "act" => (!matches!(text, "run" | "follow_up" | "abort" | "roll_back" | "repair"))
            .then(|| "must be \"run\", \"follow_up\", \"abort\", \"roll_back\" or \"repair\"".to_owned()),
        _ => None,
    }
}

macro_rules! bodies {
    ($($body:ty),* $(,)?) => {
        $(impl RequestBody for $body {
            fn fault_of_text(member: &str, text: &str) -> Option<String> {
                fault_of_name(member, text)
            }
        })*
    };
}

bodies!(
    ConfirmKey,
    CreateClient,
    CreateOperator,
    EndSessions,
    GenerateKey,
    MoveKeys,
    OneUser,
    Reason,
    Rotate,
    SignAudit,
    UserOfApp,
    VerifyAudit,
);
