//! Claims that break a rule, in tokens that the provider's key signed.

use serde_json::{Value, json};

use super::{
    super::{AUDIENCE, RSA, changed},
    Forged, Target,
};

fn each(target: &Target<'_>, name: &str, values: impl IntoIterator<Item = Value>) -> Vec<Forged> {
    let values = values.into_iter().map(|value| {
        let mut claims = target.claims();
        claims[name] = value.clone();
        Forged::new(format!("{name} is {:.60}", value.to_string()), RSA.token(&claims))
    });
    let absent = Forged::new(format!("{name} is absent"), RSA.token(&changed(&target.claims(), name, Value::Null)));
    values.chain(std::iter::once(absent)).collect()
}

pub(super) fn times(target: &Target<'_>) -> Vec<Forged> {
    let now = target.now_seconds;
    let odd = |time: i64| {
        vec![
            json!(time.to_string()),
            json!(1_795_000_000.5),
            json!(-time),
            json!([time]),
            json!(true),
            json!(null),
            json!(u64::MAX),
            json!(i64::MAX),
            json!(1e300),
            json!({ "seconds": time }),
        ]
    };
    let mut list = each(target, "exp", odd(now + 3600));
    list.extend(each(target, "exp", [json!(now - 31), json!(0), json!((now + 3600) * 1000)]));
    list.extend(each(target, "iat", odd(now)));
    list.extend(each(target, "iat", [json!(now + 3000), json!(0)]));
    // A token may have no nbf.
    let mut nbf = each(target, "nbf", odd(now).into_iter().chain([json!(now + 3000)]));
    nbf.pop();
    list.extend(nbf);
    for exp in ["1e400", "99999999999999999999999", "0x7fffffff", "1_795_003_600", "+1795003600", "01795003600"] {
        let claims = target.claims().to_string().replace(&format!("\"exp\":{}", now + 3600), &format!("\"exp\":{exp}"));
        assert!(claims.contains(exp));
        list.push(Forged::new(format!("exp is {exp}"), RSA.raw(RSA.header().to_string(), claims)));
    }
    list
}

pub(super) fn parties(target: &Target<'_>) -> Vec<Forged> {
    let issuer = &target.provider.issuer;
    let mut list = each(
        target,
        "aud",
        [
            json!(""),
            json!("another-client"),
            json!("OUR-CLIENT"),
            json!("our-client "),
            json!("our-client/"),
            json!("our-client\0"),
            json!(["another-client"]),
            json!([]),
            json!([[AUDIENCE]]),
            json!([AUDIENCE, 1]),
            json!([AUDIENCE, null]),
            json!({ AUDIENCE: true }),
            json!(true),
            json!(null),
            json!([AUDIENCE, "another-client"]),
        ],
    );
    list.extend(each(
        target,
        "iss",
        [
            json!(format!("{issuer}/")),
            json!(issuer.to_uppercase()),
            json!(issuer.replace("http:", "HTTP:")),
            json!(issuer.replace("http:", "https:")),
            json!(issuer.replace("127.0.0.1", "localhost")),
            json!(format!("{issuer} ")),
            json!(format!(" {issuer}")),
            json!(format!("{issuer}\0")),
            json!(format!("{issuer}/.well-known/openid-configuration")),
            json!(format!("{issuer}#")),
            json!(format!("{issuer}@evil.example.com")),
            json!([issuer]),
            json!({ issuer: true }),
            json!(""),
            json!(null),
            json!(target.canary),
        ],
    ));
    let mut several = target.claims();
    several["aud"] = json!([AUDIENCE, "another-client"]);
    for azp in [json!("another-client"), json!(""), json!([AUDIENCE]), json!(null)] {
        several["azp"] = azp.clone();
        list.push(Forged::new(format!("two audiences, azp is {azp}"), RSA.token(&several)));
    }
    list
}

pub(super) fn users(target: &Target<'_>) -> Vec<Forged> {
    let mut list = each(
        target,
        "sub",
        [
            json!(""),
            json!(" "),
            json!(" u-1"),
            json!("u-1\u{a0}"),
            json!("u\0v"),
            json!("u\nv"),
            json!("u\u{85}v"),
            json!("u\u{7f}"),
            json!("u\u{200b}v"),
            json!("u\u{202e}v"),
            json!("\u{feff}u"),
            json!("x".repeat(513)),
            json!(1.5),
            json!(1e3),
            json!(9_007_199_254_740_993_i64),
            json!(-9_007_199_254_740_993_i64),
            json!(u64::MAX),
            json!(true),
            json!(false),
            json!(null),
            json!(["u-victim"]),
            json!({ "id": "u-victim" }),
        ],
    );
    for sub in ["-0", "1e2", "\"\\ud800\"", "\"\\udc00\\ud800\"", "NaN", "'u'"] {
        let claims = target.claims().to_string().replace("\"sub\":\"u-victim\"", &format!("\"sub\":{sub}"));
        assert!(claims.contains(sub));
        list.push(Forged::new(format!("sub is {sub}"), RSA.raw(RSA.header().to_string(), claims)));
    }
    list
}

/// Payloads that have two meanings, or none.
pub(super) fn payloads(target: &Target<'_>) -> Vec<Forged> {
    let claims = target.claims().to_string();
    let inside = claims.strip_suffix('}').unwrap();
    let texts = [
        ("sub twice", format!("{inside},\"sub\":\"u-attacker\"}}")),
        ("sub twice by an escape", format!("{inside},\"\\u0073ub\":\"u-attacker\"}}")),
        ("exp twice", format!("{inside},\"exp\":9999999999}}")),
        ("iss twice", format!("{inside},\"iss\":\"{}\"}}", target.attacker.issuer)),
        ("a member twice, deep down", format!("{inside},\"x\":[{{\"y\":1,\"y\":2}}]}}")),
        ("bytes after it", format!("{claims}{claims}")),
        ("a comma at the end", format!("{inside},}}")),
        ("a comment", format!("{inside}/* */}}")),
        ("in an array", format!("[{claims}]")),
        ("in a string", json!(claims).to_string()),
        ("a number", "1".to_owned()),
        ("null", "null".to_owned()),
        ("nothing", String::new()),
        ("a byte order mark", format!("\u{feff}{claims}")),
        ("nested deeply", format!("{inside},\"x\":{}{}}}", "[".repeat(40), "]".repeat(40))),
        ("nested very deeply", format!("{inside},\"x\":{}{}}}", "[".repeat(2500), "]".repeat(2500))),
        ("a raw control character", format!("{inside},\"x\":\"\u{1}\"}}")),
    ];
    let mut list: Vec<Forged> = texts
        .into_iter()
        .map(|(name, payload)| Forged::new(format!("payload: {name}"), RSA.raw(RSA.header().to_string(), payload)))
        .collect();
    let latin1 = [inside.as_bytes(), b",\"x\":\"\xe9\"}"].concat();
    list.push(Forged::new("payload: no UTF-8", RSA.raw(RSA.header().to_string(), latin1)));
    let utf16: Vec<u8> = claims.encode_utf16().flat_map(u16::to_le_bytes).collect();
    list.push(Forged::new("payload: UTF-16", RSA.raw(RSA.header().to_string(), utf16)));
    list
}
