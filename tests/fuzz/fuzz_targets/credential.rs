//! Credentials: any text is read or refused, never a panic; what is read has one text only.
#![no_main]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::identity::reads_as_jwt;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| {
    let (header, claims) = texts;
    reads_as_jwt(header);
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let token = format!("{}.{}.c2ln", part(header), part(claims));
    if reads_as_jwt(&token) {
        assert!(token.len() <= 8192);
        for json in [header, claims] {
            assert!(serde_json::from_str::<serde_json::Value>(json).is_ok_and(|value| value.is_object()));
        }
        assert!(!reads_as_jwt(&format!("{token}=")) && !reads_as_jwt(&format!("{token}.")));
    }
});
