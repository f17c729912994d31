//! Tells the linker where the batch signing library is, where it is asked for.
#![allow(clippy::disallowed_methods, reason = "cargo speaks to build scripts through the environment")]
#![allow(clippy::print_stdout, reason = "and they answer on stdout")]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CRYPTO_MB_DIR");
    if std::env::var_os("CARGO_FEATURE_CRYPTO_MB").is_none() {
        return;
    }
    let folder = std::env::var("CRYPTO_MB_DIR").unwrap_or_default();
    if std::path::Path::new(&folder).join("libcrypto_mb.a").is_file() {
        println!("cargo::rustc-link-search=native={folder}");
    } else {
        println!(
            "cargo::error=feature crypto-mb: set CRYPTO_MB_DIR to the folder that has libcrypto_mb.a (PyPI: ipp-crypto-static)"
        );
    }
}
