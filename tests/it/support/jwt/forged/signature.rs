//! Signatures: cut, stretched, moved from another token, in another form.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{
    super::{P256, P384, ProviderKey, RSA, base64url},
    Forged, Target, forged,
};

pub(super) fn forged(target: &Target<'_>) -> Vec<Forged> {
    let mut list = Vec::new();
    for key in [&*RSA, &*P256, &*P384] {
        list.extend(
            changed(target, key)
                .into_iter()
                .map(|(name, token)| super::forged(format!("{:?} signature: {name}", key.algorithm), token)),
        );
    }
    list.extend(moved(target));
    list.extend(ecdsa(target));
    list.push(super::forged("RSA signature without its leading zero", without_leading_zero(target)));
    list
}

fn parts(token: &str) -> (&str, Vec<u8>) {
    let (input, signature) = token.rsplit_once('.').unwrap();
    (input, URL_SAFE_NO_PAD.decode(signature).unwrap())
}

fn with(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", base64url(signature))
}

fn changed(target: &Target<'_>, key: &ProviderKey) -> Vec<(&'static str, String)> {
    let token = key.token(&target.claims());
    let (input, signature) = parts(&token);
    let flipped = |at: usize| {
        let mut signature = signature.clone();
        signature[at] ^= 1;
        with(input, &signature)
    };
    let last = signature.len() - 1;
    vec![
        ("none", format!("{input}.")),
        ("none and no dot", input.to_owned()),
        ("the first bit flipped", flipped(0)),
        ("the last bit flipped", flipped(last)),
        ("a byte less at the end", with(input, &signature[..last])),
        ("a byte less at the start", with(input, &signature[1..])),
        ("a zero more at the end", with(input, &[&signature[..], &[0]].concat())),
        ("a zero more at the start", with(input, &[&[0], &signature[..]].concat())),
        ("twice", with(input, &[&signature[..], &signature[..]].concat())),
        ("all zero", with(input, &vec![0; signature.len()])),
        ("all ones", with(input, &vec![255; signature.len()])),
        ("in hexadecimal", format!("{input}.{}", hex::encode(&signature))),
        ("in base64url twice", format!("{input}.{}", base64url(base64url(&signature)))),
    ]
}

/// Signatures of one token under another.
fn moved(target: &Target<'_>) -> Vec<Forged> {
    let honest = RSA.token(&target.provider.claims("u-attacker", target.now_seconds));
    let victim = RSA.token(&target.claims());
    let (honest_parts, victim_parts): (Vec<&str>, Vec<&str>) =
        (honest.split('.').collect(), victim.split('.').collect());
    let spaced = base64url(RSA.header().to_string().replace(':', ": "));
    vec![
        forged("claims of the victim, signature of the attacker", {
            format!("{}.{}.{}", honest_parts[0], victim_parts[1], honest_parts[2])
        }),
        forged("another header over the same claims", format!("{spaced}.{}.{}", victim_parts[1], victim_parts[2])),
        forged("header and claims exchanged", {
            format!("{}.{}.{}", victim_parts[1], victim_parts[0], victim_parts[2])
        }),
    ]
}

/// ECDSA signatures in other forms, and with impossible numbers (CVE-2022-21449).
fn ecdsa(target: &Target<'_>) -> Vec<Forged> {
    let token = P256.token(&target.claims());
    let (input, signature) = parts(&token);
    let (r, s) = signature.split_at(32);
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let (zero, mut one) = (vec![0; 32], vec![0; 32]);
    one[31] = 1;
    let pair = |name: &str, r: &[u8], s: &[u8]| forged(format!("ES256: {name}"), with(input, &[r, s].concat()));
    vec![
        forged("ES256: in DER", with(input, &der(r, s))),
        pair("r = 0, s = 0", &zero, &zero),
        pair("r = 0, s = 1", &zero, &one),
        pair("r = 1, s = 0", &one, &zero),
        pair("r = 1, s = 1", &one, &one),
        pair("r = n, s = n", &order, &order),
        pair("r = 0, s as it was", &zero, s),
        pair("r as it was, s = 0", r, &zero),
        pair("r and s exchanged", s, r),
        pair("padded as for P-384", &[&[0; 16], r].concat(), &[&[0; 16], s].concat()),
    ]
}

/// Ecdsa-Sig-Value (RFC 3279 §2.2.3).
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let number: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        let sign = if number.first().is_some_and(|byte| *byte >= 128) { vec![0] } else { vec![] };
        let body = [sign, number].concat();
        [vec![2, u8::try_from(body.len()).unwrap()], body].concat()
    };
    let body = [integer(r), integer(s)].concat();
    [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat()
}

/// The shorter form of a signature that begins with a zero byte: RFC 8017 §8.2.2 wants the length of the modulus.
fn without_leading_zero(target: &Target<'_>) -> String {
    let tokens = (0..10_000).map(|n| RSA.token(&super::super::changed(&target.claims(), "n", json!(n))));
    let mut zero = tokens.filter(|token| parts(token).1[0] == 0);
    let token = zero.next().unwrap();
    let (input, signature) = parts(&token);
    with(input, &signature[1..])
}
