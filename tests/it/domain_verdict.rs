//! Braze's verdict on a token: each error code with its causes, in the order of the checks, and the remarks.

use std::fmt::Write as _;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::{
    clock::UnixMillis,
    domain::verdict::{Against, Claimed, ErrorCode, Finding, Unverified, Verdict, examine, is_public_key, judge},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use strum::VariantArray;

use crate::support::domain::{NOW, OURS, THEIRS, pem};

const API_KEY: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
const HEADER: &str = r#"{"alg":"RS256","typ":"JWT"}"#;

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Token with this header and payload as text, signed by our key.
fn signed(header: &str, payload: &str) -> String {
    let input = format!("{}.{}", encoded(header), encoded(payload));
    format!("{input}.{}", encoded(OURS.sign(input.as_bytes()).0))
}

fn good_claims() -> Value {
    json!({"sub": "u-1", "exp": NOW.seconds() + 3600})
}

/// Good claims with one changed; `null` removes it.
fn with(name: &str, value: Value) -> String {
    let mut claims = good_claims();
    claims[name] = value;
    signed(HEADER, &claims.to_string())
}

fn without(name: &str) -> String {
    let mut claims = good_claims();
    claims.as_object_mut().unwrap().remove(name);
    signed(HEADER, &claims.to_string())
}

fn good() -> String {
    signed(HEADER, &good_claims().to_string())
}

fn findings_with_keys(token: &str, keys: &[String]) -> Vec<Finding> {
    let against = Against { public_keys: Some(keys), user: Some("u-1"), sdk_api_key: Some(API_KEY), now: NOW };
    examine(token, &against)
}

fn findings(token: &str) -> Vec<Finding> {
    findings_with_keys(token, &[OURS.public_pem()])
}

fn numbers(findings: &[Finding]) -> Vec<i64> {
    findings.iter().filter_map(|finding| finding.code).map(ErrorCode::number).collect()
}

fn codes(token: &str) -> Vec<i64> {
    numbers(&findings(token))
}

#[test]
fn a_good_token_is_accepted_by_any_of_three_keys() {
    assert_eq!(findings(&good()), []);
    let keys = [THEIRS.public_pem(), "not a key".to_owned(), OURS.public_pem()];
    assert_eq!(findings_with_keys(&good(), &keys), []);
    let everything = json!({
        "sub": "u-1", "exp": NOW.seconds() + 1, "iat": NOW.seconds(), "nbf": NOW.seconds(), "jti": "x",
        "aud": "braze", "iss": API_KEY, "anything": [1],
    });
    assert_eq!(findings(&signed(r#"{"typ":"JWT","kid":"?","alg":"RS256"}"#, &everything.to_string())), []);
}

#[test]
fn what_is_not_given_is_not_checked() {
    let against = Against { public_keys: None, user: None, sdk_api_key: None, now: NOW };
    let token = format!("{}.{}.AAAA", encoded(HEADER), encoded(good_claims().to_string()));
    assert_eq!(examine(&token, &against), []);
    assert_eq!(examine(&with("iss", json!("anything")), &against), []);
}

#[test]
fn code_10_there_is_no_exp() {
    for token in [without("exp"), signed(HEADER, r#"{"sub":"u-1","EXP":1,"expires":2}"#)] {
        assert_eq!(codes(&token), [10], "{token}");
    }
    assert_eq!(codes(&signed(HEADER, "{}")), [10, 21]);
}

#[test]
fn code_20_it_is_no_jwt() {
    let good = good();
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let tokens = [
        "junk".to_owned(),
        "a.b".to_owned(),
        format!("{header}.{payload}"),
        format!("{good}."),
        format!("{good}.x"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}=.{signature}"),
        format!("{header}.{payload}.{signature}="),
        format!("{header}.{payload}.sig nature"),
        format!("{header}.pay+load.{signature}"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("Bearer {good}"),
        format!("\"{good}\""),
        format!("..{signature}"),
        format!("{}.{payload}.{signature}", encoded("not json")),
        format!("{}.{payload}.{signature}", encoded(HEADER.to_owned() + "}")),
        format!("{}.{payload}.{signature}", encoded("[]")),
        format!("{}.{payload}.{signature}", encoded("null")),
        format!("{}.{payload}.{signature}", encoded(b"\xff")),
    ];
    for token in tokens {
        assert_eq!(codes(&token), [20], "{token}");
    }
    for typ in [r#"{"alg":"RS256"}"#, r#"{"alg":"RS256","typ":"jwt"}"#, r#"{"alg":"RS256","typ":1}"#] {
        assert_eq!(codes(&signed(typ, &good_claims().to_string())), [20], "{typ}");
    }
}

#[test]
fn code_21_it_is_for_somebody_else() {
    assert_eq!(codes(&without("sub")), [21]);
    let subjects = [
        json!("u-2"),
        json!("U-1"),
        json!("u-1 "),
        json!(""),
        json!(1),
        json!(1.5),
        json!(true),
        json!(null),
        json!(["u-1"]),
        json!({"id": "u-1"}),
    ];
    for sub in subjects {
        assert_eq!(codes(&with("sub", sub.clone())), [21], "{sub}");
    }
}

#[test]
fn code_21_says_what_to_do_about_it() {
    let text = |sub: Value| findings(&with("sub", sub))[0].text.clone();
    assert!(text(json!(12345)).contains(r#"write "12345""#));
    assert!(text(json!("U-1")).contains("differ in case or white space only"));
    assert!(!text(json!("u-2")).contains("differ in case"));
    let nobody = Against { public_keys: None, user: None, sdk_api_key: None, now: NOW };
    for sub in [json!(1), json!(null), json!("")] {
        assert_eq!(numbers(&examine(&with("sub", sub.clone()), &nobody)), [21], "{sub} for any user");
    }
}

#[test]
fn code_22_it_has_expired_without_leeway() {
    let now = NOW.seconds();
    for exp in [json!(now), json!(now - 1), json!(0), json!(-1), json!(1), json!(i64::MIN), json!(-1e300)] {
        assert_eq!(codes(&with("exp", exp.clone())), [22], "{exp}");
    }
    assert_eq!(codes(&with("exp", json!(now + 1))), [0; 0]);
}

#[test]
fn code_22_begins_in_the_very_second_of_exp() {
    let token = with("exp", json!(2_000_000_000));
    let at = |now| {
        let against = Against { public_keys: None, user: None, sdk_api_key: None, now: UnixMillis(now) };
        numbers(&examine(&token, &against))
    };
    assert_eq!(at(1_999_999_999_999), [0; 0]);
    assert_eq!(at(2_000_000_000_000), [22]);
}

#[test]
fn code_22_says_how_long_ago_in_one_unit() {
    let ago = |seconds: i64| findings(&with("exp", json!(NOW.seconds() - seconds)))[0].text.clone();
    for (seconds, spoken) in [(119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172_800, "2 d")] {
        assert!(ago(seconds).contains(&format!("expired {spoken} ago")), "{}", ago(seconds));
    }
}

#[test]
fn code_23_the_payload_is_not_what_it_should_be() {
    for payload in ["not json", "", "[]", "null", "1", r#""sub""#, r#"{"sub":"u-1",}"#, r#"{"sub":"u-1"} x"#] {
        assert_eq!(codes(&signed(HEADER, payload)), [23], "{payload}");
    }
    for exp in [json!("1893456000"), json!("2030-01-01T00:00:00Z"), json!(null), json!(true), json!([1]), json!({})] {
        assert_eq!(codes(&with("exp", exp.clone())), [23], "{exp}");
    }
    for aud in [json!("Braze"), json!(""), json!(["braze"]), json!(null), json!(1)] {
        assert_eq!(codes(&with("aud", aud.clone())), [23], "{aud}");
    }
    for iss in [json!("https://login.example"), json!(""), json!(null), json!([API_KEY])] {
        assert_eq!(codes(&with("iss", iss.clone())), [23], "{iss}");
    }
}

#[test]
fn code_24_only_rs256_will_do() {
    let wrong = [
        r#""none""#,
        r#""None""#,
        r#""HS256""#,
        r#""rs256""#,
        r#""RS256 ""#,
        r#"" RS256""#,
        r#""RS384""#,
        r#""PS256""#,
        r#""ES256""#,
        r#""""#,
        "null",
        "256",
        r#"["RS256"]"#,
    ];
    for alg in wrong {
        let header = format!(r#"{{"alg":{alg},"typ":"JWT"}}"#);
        assert_eq!(codes(&signed(&header, &good_claims().to_string())), [24], "{alg}");
    }
    for header in [r#"{"typ":"JWT"}"#, r#"{"ALG":"RS256","typ":"JWT"}"#] {
        assert_eq!(codes(&signed(header, &good_claims().to_string())), [24], "{header}");
    }
}

#[test]
fn code_25_no_public_key_can_be_read() {
    // EC key (P-256) in SPKI: the two OIDs and a point.
    let mut ec = vec![0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    ec.extend([6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3, 0x42, 0, 4]);
    ec.extend([1; 64]);
    let keys = [
        String::new(),
        "ssh-rsa AAAAB3NzaC1yc2E".to_owned(),
        OURS.public_pem().replace('\n', "\\n"),
        OURS.public_pem().replace("-----BEGIN PUBLIC KEY-----\n", ""),
        OURS.private_pem(),
        OURS.public_pem().replace("PUBLIC KEY", "CERTIFICATE"),
        pem("PUBLIC KEY", &ec),
        pem("PUBLIC KEY", b"junk"),
        pem("RSA PUBLIC KEY", b"junk"),
    ];
    for (index, key) in keys.iter().enumerate() {
        let found = findings_with_keys(&good(), std::slice::from_ref(key));
        assert_eq!(numbers(&found), [25], "key {index}");
    }
    let all = findings_with_keys(&good(), &keys);
    assert_eq!(numbers(&all), [25]);
    assert!(all.iter().all(|finding| !finding.text.contains("MII")), "a key is not shown");
}

#[test]
fn code_26_there_is_no_token() {
    for token in ["", " ", "\n", "\t \r\n", "\u{a0}"] {
        assert_eq!(codes(token), [26], "{token:?}");
    }
}

#[test]
fn code_27_no_public_key_verifies_it() {
    let good = good();
    let (input, signature) = good.rsplit_once('.').unwrap();
    assert_eq!(numbers(&findings_with_keys(&good, &[])), [27], "no key at all");
    assert_eq!(numbers(&findings_with_keys(&good, &[THEIRS.public_pem()])), [27]);
    assert_eq!(numbers(&findings_with_keys(&good, &["junk".to_owned(), THEIRS.public_pem()])), [27]);
    assert_eq!(codes(&format!("{input}.")), [27], "no signature");
    assert_eq!(codes(&format!("{input}.{}", &signature[..340])), [27], "half a signature");
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[100] ^= 1;
    assert_eq!(codes(&format!("{input}.{}", encoded(bytes))), [27], "one bit");
    let other = encoded(json!({"sub": "u-1", "exp": NOW.seconds() + 7200}).to_string());
    assert_eq!(codes(&format!("{}.{other}.{signature}", encoded(HEADER))), [27], "other claims");
}

#[test]
fn everything_is_said_in_the_order_of_brazes_checks() {
    let payload = json!({"sub": 1, "exp": 1, "aud": "x", "iss": "y", "nbf": NOW.seconds() + 60}).to_string();
    let token = signed(r#"{"alg":"HS256"}"#, &payload);
    let found = findings_with_keys(&token, &[THEIRS.public_pem()]);
    assert_eq!(numbers(&found), [24, 20, 27, 22, 21, 23, 23]);
    assert_eq!(found.last().unwrap().code, None, "remarks come last");
    let token = signed(r#"{"alg":"none","typ":"JWT"}"#, "not json");
    assert_eq!(numbers(&findings_with_keys(&token, &["junk".to_owned()])), [24, 25, 23]);
}

fn remarks(token: &str) -> String {
    let found = findings(token);
    assert_eq!(numbers(&found), [0; 0], "a remark is no rejection");
    found.iter().fold(String::new(), |mut all, finding| {
        let _ = writeln!(all, "{}", finding.text);
        all
    })
}

#[test]
fn an_exp_in_milliseconds_is_remarked_on_because_it_never_expires() {
    for exp in [json!(NOW.0), json!(NOW.0 + 3_600_000), json!(1e15), json!(i64::MAX), json!(u64::MAX), json!(1e300)] {
        assert!(remarks(&with("exp", exp.clone())).contains("milliseconds"), "{exp}");
    }
    for exp in [4_102_444_800_i64, 100_000_000_000] {
        assert_eq!(remarks(&with("exp", json!(exp))), "", "{exp}");
    }
    assert_ne!(remarks(&with("exp", json!(100_000_000_001_i64))), "");
}

#[test]
fn an_iat_or_nbf_in_the_future_is_remarked_on() {
    for name in ["iat", "nbf"] {
        for late in [json!(NOW.seconds() + 1), json!(4_102_444_800_i64), json!(9e9)] {
            assert!(remarks(&with(name, late.clone())).contains(&format!("{name} lies in the future")), "{late}");
        }
        for fine in [json!(NOW.seconds()), json!(0), json!("tomorrow"), json!(null)] {
            assert_eq!(remarks(&with(name, fine.clone())), "", "{name} {fine}");
        }
    }
}

#[test]
fn the_codes_are_brazes() {
    let table = [
        (10, "EXPIRATION_REQUIRED"),
        (20, "DECODING_ERROR"),
        (21, "SUBJECT_MISMATCH"),
        (22, "EXPIRED"),
        (23, "INVALID_PAYLOAD"),
        (24, "INCORRECT_ALGORITHM"),
        (25, "PUBLIC_KEY_ERROR"),
        (26, "MISSING_TOKEN"),
        (27, "NO_MATCHING_PUBLIC_KEYS"),
        (28, "PAYLOAD_USER_ID_MISMATCH"),
    ];
    let codes: Vec<_> = ErrorCode::VARIANTS.iter().map(|code| (code.number(), code.reason())).collect();
    assert_eq!(codes, table);
    assert!(ErrorCode::VARIANTS.iter().copied().all(|code| ErrorCode::from_number(code.number()) == Some(code)));
    assert!(ErrorCode::VARIANTS.iter().copied().all(|code| code.label() == code.number().to_string()));
    assert!([0, 11, 19, 29, -1, i64::MAX].into_iter().all(|number| ErrorCode::from_number(number).is_none()));
}

#[test]
fn an_unverified_token_can_be_read_without_believing_it() {
    let token = Unverified::read(&good()).unwrap();
    assert_eq!(token.header["alg"], "RS256");
    assert_eq!(token.claims, good_claims());
    assert_eq!(Unverified::read("").unwrap_err().code, Some(ErrorCode::MissingToken));
    assert_eq!(Unverified::read(&signed(HEADER, "not JSON")).unwrap().claims, "not JSON", "as it stands there");
}

fn judged(token: Option<&str>, claimed: &Claimed) -> Result<(), (ErrorCode, String)> {
    let keys = [OURS.public_pem()];
    // The request's user counts, not the user of the app.
    let against = Against { public_keys: Some(&keys), user: Some("somebody-else"), sdk_api_key: None, now: NOW };
    match judge(token, claimed, &against) {
        Verdict::Accepted => Ok(()),
        Verdict::Rejected { code, text } => Err((code, text)),
    }
}

#[test]
fn a_request_is_judged_for_the_user_whom_it_names() {
    let code = |token: Option<&str>, claimed: &Claimed| judged(token, claimed).map_err(|(code, _)| code.number());
    let named = |user: &str| Claimed::User(user.to_owned());
    let good = good();
    assert_eq!(code(Some(&good), &named("u-1")), Ok(()));
    assert_eq!(code(Some(&good), &named("u-2")), Err(21));
    assert_eq!(code(None, &named("u-1")), Err(26));
    assert_eq!(code(Some(&with("exp", json!(NOW.0))), &named("u-1")), Ok(()), "a remark rejects nothing");
    assert_eq!(code(None, &Claimed::Nobody), Ok(()), "anonymous traffic is never held up");
    assert_eq!(code(Some("junk"), &Claimed::Nobody), Ok(()));
    let (code, text) = judged(Some(&good), &Claimed::Conflicting("two".to_owned())).unwrap_err();
    assert_eq!((code.number(), text.as_str()), (28, "two"));
    // The answer is the first error, with its own text.
    let worse = signed(r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"sub":"u-1"}"#);
    let (code, text) = judged(Some(&worse), &named("u-1")).unwrap_err();
    assert_eq!(code.number(), 24);
    assert!(text.contains("HS256"), "{text}");
}

#[test]
fn a_request_is_for_one_user_or_for_nobody() {
    let of = |rows: &[Option<&'static str>], request: &[&'static str]| {
        Claimed::of(rows.iter().copied(), request.iter().copied())
    };
    for rows in [&[][..], &[None], &[None, None]] {
        assert_eq!(of(rows, &[]), Claimed::Nobody, "{rows:?}");
    }
    let one = Claimed::User("u-1".to_owned());
    assert_eq!(of(&[], &["u-1"]), one);
    assert_eq!(of(&[Some("u-1"), Some("u-1")], &[]), one);
    assert_eq!(of(&[Some("u-1"), Some("u-1")], &["u-1", "u-1"]), one);
    let conflict = |rows: &[Option<&'static str>], request: &[&'static str]| match of(rows, request) {
        Claimed::Conflicting(text) => text,
        other => panic!("{other:?}"),
    };
    for text in
        [conflict(&[Some("u-1"), Some("u-2")], &[]), conflict(&[Some("u-2")], &["u-1"]), conflict(&[], &["u-1", "u-2"])]
    {
        assert!(text.contains("\"u-1\"") && text.contains("\"u-2\""), "{text}");
    }
    let text = conflict(&[Some("u-1"), None, None, Some("u-1"), None], &[]);
    assert!(text.contains("\"u-1\"") && text.contains("but 3 of its rows"), "{text}");
    assert!(conflict(&[None], &["u-1"]).contains("but 1 of its rows"));
}

#[test]
fn braze_can_use_rsa_keys_in_pem_only() {
    assert!(is_public_key(&OURS.public_pem()));
    for no_key in [String::new(), OURS.private_pem(), pem("PUBLIC KEY", b"junk"), pem("RSA PUBLIC KEY", b"junk")] {
        assert!(!is_public_key(&no_key), "{no_key}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            inner.prop_map(|value| json!({"sub": value})),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_gets_an_answer(text: String, dotted in "[A-Za-z0-9_=-]{0,20}(\\.[A-Za-z0-9_=-]{0,20}){0,4}") {
        prop_assert!(!findings(&text).is_empty());
        prop_assert!(!findings(&dotted).is_empty());
    }

    #[test]
    fn any_claims_get_an_answer(sub in any_json(), exp in any_json(), other in any_json(), now: i64, der: Vec<u8>) {
        let claims = json!({"sub": sub, "exp": exp, "aud": other, "iss": other, "nbf": other, "iat": exp});
        let token = format!("{}.{}.AAAA", encoded(HEADER), encoded(claims.to_string()));
        let keys = [pem("PUBLIC KEY", &der), pem("RSA PUBLIC KEY", &der), String::from_utf8_lossy(&der).into_owned()];
        let against =
            Against { public_keys: Some(&keys), user: Some("u-1"), sdk_api_key: Some("k"), now: UnixMillis(now) };
        prop_assert!(!examine(&token, &against).is_empty());
    }
}
