//! The compact form: parts, alphabet, padding, space; other serialisations.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{
    super::{RSA, base64url, changed},
    Forged, Target, forged,
};

pub(super) fn forged(target: &Target<'_>) -> Vec<Forged> {
    let token = RSA.token(&target.claims());
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
    let tokens = [
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{claims}")),
        ("four parts", format!("{token}.{signature}")),
        ("five parts", format!("{header}.{claims}.{claims}.{claims}.{signature}")),
        ("a dot at the end", format!("{token}.")),
        ("a dot at the start", format!(".{token}")),
        ("two dots", format!("{header}..{claims}.{signature}")),
        ("no header", format!(".{claims}.{signature}")),
        ("no claims", format!("{header}..{signature}")),
        ("only dots", "..".to_owned()),
        ("a space at the end", format!("{token} ")),
        ("a space at the start", format!(" {token}")),
        ("a space inside", format!("{header} .{claims}.{signature}")),
        ("a tab", format!("{header}\t.{claims}.{signature}")),
        ("a line end at the end", format!("{token}\n")),
        ("a line end inside", format!("{header}.\n{claims}.{signature}")),
        ("CR LF inside", format!("{header}.{claims}\r\n.{signature}")),
        ("NUL at the end", format!("{token}\0")),
        ("a byte order mark", format!("\u{feff}{token}")),
        ("a wide dot", format!("{header}．{claims}.{signature}")),
        ("a colon", format!("{header}:{claims}:{signature}")),
        ("a percent-encoded dot", format!("{header}%2E{claims}%2E{signature}")),
        ("a comma and another", format!("{token},{token}")),
        ("quotes around", format!("\"{token}\"")),
        ("the scheme twice", format!("Bearer {token}")),
        ("padding after the signature", format!("{token}==")),
        ("padding after the header", format!("{header}=.{claims}.{signature}")),
        ("padding after the claims", format!("{header}.{claims}=.{signature}")),
        ("all in lower case", token.to_lowercase()),
        ("leading bits set in the signature", format!("{header}.{claims}.{}", other_bits(signature))),
        ("the standard alphabet", standard_alphabet(target)),
        ("claims with other unused bits", unused_bits(target)),
        ("more than 8 KB", RSA.token(&changed(&target.claims(), "filler", json!("x".repeat(8192))))),
        ("flattened JSON", { json!({ "protected": header, "payload": claims, "signature": signature }).to_string() }),
        ("general JSON", {
            json!({ "payload": claims, "signatures": [{ "protected": header, "signature": signature }] }).to_string()
        }),
        ("a token in a token", RSA.raw(RSA.header().to_string(), &token)),
        ("a token as a string", RSA.raw(RSA.header().to_string(), json!(token).to_string())),
    ];
    tokens.into_iter().map(|(name, token)| forged(format!("form: {name}"), token)).collect()
}

/// The same bytes, with bits set that belong to no byte (RFC 4648 §3.5).
fn other_bits(part: &str) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert_ne!(part.len() % 4, 0, "a part that has unused bits");
    let (rest, last) = part.split_at(part.len() - 1);
    let next = alphabet.find(last).unwrap() + 1;
    let other = format!("{rest}{}", &alphabet[next..=next]);
    assert!(URL_SAFE_NO_PAD.decode(&other).is_err());
    other
}

/// Claims in a text that is not canonical, signed as it is.
fn unused_bits(target: &Target<'_>) -> String {
    let texts = (0..3).map(|n| base64url(changed(&target.claims(), "n", json!("x".repeat(n))).to_string()));
    let odd = texts.into_iter().find(|text| text.len() % 4 != 0).unwrap();
    RSA.signed(&format!("{}.{}", base64url(RSA.header().to_string()), other_bits(&odd)))
}

/// A token whose signature differs in the two alphabets.
fn standard_alphabet(target: &Target<'_>) -> String {
    let mut tokens = (0..100).map(|n| RSA.token(&changed(&target.claims(), "n", json!(n))));
    let token = tokens.find(|token| token.contains(['-', '_'])).unwrap();
    token.replace('-', "+").replace('_', "/")
}
