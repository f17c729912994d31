//! Refresh tokens: any text is refused without a panic; a token of ours opens, and with any change does not.
#![no_main]

use countersign::domain::{
    refresh_token::{PREFIX, unseal},
    sealing::{SealingKeys, SealingSecrets},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let keys = SealingKeys::derive(&SealingSecrets::single([7; 32]));
    assert!(unseal(text, &keys).is_err());
    assert!(unseal(&format!("{PREFIX}{text}"), &keys).is_err());
});
