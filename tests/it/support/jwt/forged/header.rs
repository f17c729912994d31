//! Headers: algorithms, keys that the token brings along, parameters, types.

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::{
    super::{OTHER_RSA, P256, RSA, changed, input},
    Forged, Target, forged,
};

/// Headers that no verifier takes, over honest claims and with the right key's signature.
pub(super) fn forged_parameters() -> Vec<Value> {
    let with = |name: &str, value: Value| {
        let mut header = RSA.header();
        header[name] = value;
        header
    };
    vec![
        with("alg", json!("rs256")),
        with("alg", json!("Rs256")),
        with("alg", json!("RS256 ")),
        with("alg", json!(" RS256")),
        with("alg", json!("RS256\0")),
        with("alg", json!("RS-256")),
        with("alg", json!("")),
        with("alg", json!(null)),
        with("alg", json!(["RS256"])),
        with("alg", json!({ "RS256": true })),
        with("alg", json!(256)),
        changed(&RSA.header(), "alg", Value::Null),
        with("alg", json!("ES512")),
        with("alg", json!("ES256K")),
        with("alg", json!("dir")),
        with("crit", json!(["exp"])),
        with("crit", json!([])),
        with("crit", json!(["urn:example:unknown"])),
        with("b64", json!(false)),
        with("b64", json!(true)),
        with("zip", json!("DEF")),
        with("enc", json!("A256GCM")),
        with("typ", json!("logout+jwt")),
        with("typ", json!("application/logout+jwt")),
        with("typ", json!("dpop+jwt")),
        with("typ", json!("at+jwt")),
        with("typ", json!("JWT ")),
        with("typ", json!("application/application/jwt")),
        with("typ", json!("")),
        with("typ", json!(null)),
        with("typ", json!(["JWT"])),
        with("kid", json!(null)),
        with("kid", json!(7)),
        with("kid", json!(["rsa"])),
        with("kid", json!({ "rsa": "rsa" })),
        with("kid", json!("k".repeat(129))),
        with("kid", json!("RSA")),
        with("kid", json!("rsa ")),
        with("kid", json!("../../../../dev/null")),
        with("kid", json!("rsa' OR '1'='1")),
        with("kid", json!("p256")),
        with("nested", serde_json::from_str(&format!("{}{}", "[".repeat(40), "]".repeat(40))).unwrap()),
    ]
}

pub(super) fn forged_bytes() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("alg twice, none last", text(r#"{"alg":"RS256","alg":"none","kid":"rsa"}"#)),
        ("alg twice, none first", text(r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#)),
        ("alg twice by an escape", text(r#"{"alg":"RS256","\u0061lg":"none","kid":"rsa"}"#)),
        ("kid twice", text(r#"{"alg":"RS256","kid":"rsa","kid":"p256"}"#)),
        ("a member twice, deep down", text(r#"{"alg":"RS256","kid":"rsa","x":{"y":1,"y":2}}"#)),
        ("the name in capitals", text(r#"{"ALG":"RS256","kid":"rsa"}"#)),
        ("bytes after the header", text(r#"{"alg":"RS256","kid":"rsa"}{}"#)),
        ("a byte order mark", text("\u{feff}{\"alg\":\"RS256\",\"kid\":\"rsa\"}")),
        ("bytes that are no UTF-8", b"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x\":\"\xff\"}".to_vec()),
        ("half a surrogate pair", text(r#"{"alg":"RS256","kid":"rsa","x":"\ud800"}"#)),
        ("a comma at the end", text(r#"{"alg":"RS256","kid":"rsa",}"#)),
        ("single quotes", text("{'alg':'RS256','kid':'rsa'}")),
        ("an array", text(r#"[{"alg":"RS256","kid":"rsa"}]"#)),
        ("a string", text(r#""RS256""#)),
        ("null", text("null")),
        ("nothing", Vec::new()),
    ]
}

/// Headers that are no JSON object with the right members, signed all the same.
pub(super) fn forged(target: &Target<'_>) -> Vec<Forged> {
    let claims = target.claims();
    let parameters = forged_parameters().into_iter().map(|header| {
        let name = format!("header {:.90}", header.to_string());
        forged_token(name, RSA.with_header(&header, &claims))
    });
    let bytes = forged_bytes()
        .into_iter()
        .map(|(name, header)| forged_token(format!("header: {name}"), RSA.raw(header, claims.to_string())));
    parameters.chain(bytes).chain(confused(&claims)).collect()
}

fn forged_token(name: String, token: String) -> Forged {
    super::forged(name, token)
}

/// Confusion of algorithms: the token names another than the key's, and the signature fits the name.
fn confused(claims: &Value) -> Vec<Forged> {
    let header = |alg: &str| json!({ "alg": alg, "typ": "JWT", "kid": "rsa" }).to_string();
    let mut list = Vec::new();
    for none in ["none", "None", "NONE", "nOnE"] {
        let input = input(header(none), claims.to_string());
        list.push(forged(format!("alg {none}, no signature"), format!("{input}.")));
        list.push(forged(format!("alg {none}, the signature of RS256"), RSA.signed(&input)));
        list.push(forged(format!("alg {none}, a signature of one byte"), format!("{input}.AA")));
    }
    let jwk = RSA.jwk();
    let pem = public_pem();
    let secrets = [
        ("PEM", pem.clone()),
        ("PEM without the last line end", pem.trim_end().to_owned()),
        ("JWK", jwk.to_string()),
        ("modulus", jwk["n"].as_str().unwrap().to_owned()),
        ("kid", "rsa".to_owned()),
        ("nothing", String::new()),
    ];
    let macs = [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)];
    for (alg, algorithm) in macs {
        for (name, secret) in &secrets {
            let input = input(header(alg), claims.to_string());
            let key = EncodingKey::from_secret(secret.as_bytes());
            let mac = jsonwebtoken::crypto::sign(input.as_bytes(), &key, algorithm).unwrap();
            list.push(forged(format!("alg {alg}, the secret is the public key's {name}"), format!("{input}.{mac}")));
        }
    }
    for (alg, algorithm) in [("RS384", Algorithm::RS384), ("RS512", Algorithm::RS512), ("PS256", Algorithm::PS256)] {
        let named = input(header(alg), claims.to_string());
        list.push(forged(format!("alg {alg}, which the rules do not allow"), RSA.signed_by(algorithm, &named)));
        let hidden = input(header("RS256"), claims.to_string());
        list.push(forged(format!("alg RS256, signed by {alg}"), RSA.signed_by(algorithm, &hidden)));
    }
    for alg in ["ES256", "ES384", "EdDSA"] {
        list.push(forged(format!("alg {alg} with the kid of the RSA key"), P256.raw(header(alg), claims.to_string())));
    }
    list
}

fn public_pem() -> String {
    include_str!("../../../../fixtures/keys/rsa-2048.public.pem").to_owned()
}

/// Keys of others, and keys that the token brings along.
pub(super) fn keys(target: &Target<'_>) -> Vec<Forged> {
    let claims = target.claims();
    let attackers = |name: &str, value: Value| {
        let mut header = OTHER_RSA.header();
        header[name] = value;
        OTHER_RSA.with_header(&header, &claims)
    };
    let url = |path: &str| json!(format!("{}{path}", target.canary));
    vec![
        forged("the key of another issuer under the same kid", OTHER_RSA.token(&claims)),
        forged("the issuer of another key", RSA.token(&target.attacker.claims("u-victim", target.now_seconds))),
        forged("a kid that nobody has", attackers("kid", json!("nobody's"))),
        forged("no kid", OTHER_RSA.with_header(&changed(&OTHER_RSA.header(), "kid", Value::Null), &claims)),
        forged("its own jwk", attackers("jwk", OTHER_RSA.jwk())),
        forged("a jwk that is null", attackers("jwk", json!(null))),
        forged("the right jwk", {
            let mut header = RSA.header();
            header["jwk"] = RSA.jwk();
            RSA.with_header(&header, &claims)
        }),
        forged("its own x5c", attackers("x5c", json!(["MIIB"]))),
        forged("a jku", attackers("jku", url("/jwks.json"))),
        forged("a x5u", attackers("x5u", url("/chain.pem"))),
        forged("a kid that is a URL", attackers("kid", url("/jwks.json"))),
        forged("a jku in the claims' place", RSA.with_header(&attackers_header(target), &claims)),
    ]
}

fn attackers_header(target: &Target<'_>) -> Value {
    json!({ "alg": "RS256", "kid": "rsa", "jku": format!("{}/.well-known/openid-configuration", target.canary) })
}
