//! Key files: whatever an operator hands over is a fit key or a named refusal, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match countersign::custody::inspect_pem(bytes) {
        Ok(key) => assert!(key.bits >= 2048),
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
});
