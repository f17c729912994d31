//! Configuration files: any text gives settings or mistakes with places, never a panic.
#![no_main]

use countersign::config::check_text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for mistake in check_text(text).iter() {
        assert!(!mistake.place.is_empty() && !mistake.text.is_empty());
    }
});
