//! User ids, names and session ids: the accepted and the refused ones. A user id is kept byte for byte (R06).

use countersign::{
    clock::UnixMillis,
    domain::ids::{
        AppName, BRAZE_MAX_USER_ID_BYTES, BadUserId, ClientName, Kid, RingName, SessionId, UserId, UserIdRules,
    },
};
use proptest::prelude::*;

use crate::support::domain::{NOW, WIDEST};

fn parsed(id: &str) -> Result<UserId, BadUserId> {
    UserId::parse(id, UserIdRules::default())
}

/// All of Unicode's `White_Space`.
const WHITE_SPACE: [char; 25] = [
    '\t', '\n', '\u{b}', '\u{c}', '\r', ' ', '\u{85}', '\u{a0}', '\u{1680}', '\u{2000}', '\u{2001}', '\u{2002}',
    '\u{2003}', '\u{2004}', '\u{2005}', '\u{2006}', '\u{2007}', '\u{2008}', '\u{2009}', '\u{200a}', '\u{2028}',
    '\u{2029}', '\u{202f}', '\u{205f}', '\u{3000}',
];

/// All of Unicode's `Bidi_Control`.
const BIDI: [char; 12] = [
    '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}',
    '\u{2067}', '\u{2068}', '\u{2069}',
];

/// One or two of each range of Unicode's `Default_Ignorable_Code_Point`, the interlinear marks and the line separators.
const INVISIBLE: [char; 40] = [
    '\u{ad}',
    '\u{34f}',
    '\u{115f}',
    '\u{1160}',
    '\u{17b4}',
    '\u{17b5}',
    '\u{180b}',
    '\u{180e}',
    '\u{180f}',
    '\u{200b}',
    '\u{200c}',
    '\u{200d}',
    '\u{2028}',
    '\u{2029}',
    '\u{2060}',
    '\u{2064}',
    '\u{2065}',
    '\u{206a}',
    '\u{206f}',
    '\u{3164}',
    '\u{fe00}',
    '\u{fe0f}',
    '\u{feff}',
    '\u{ffa0}',
    '\u{fff0}',
    '\u{fff8}',
    '\u{fff9}',
    '\u{fffa}',
    '\u{fffb}',
    '\u{1bca0}',
    '\u{1bca3}',
    '\u{1d173}',
    '\u{1d17a}',
    '\u{e0000}',
    '\u{e0001}',
    '\u{e0020}',
    '\u{e007f}',
    '\u{e0100}',
    '\u{e01ef}',
    '\u{e0fff}',
];

#[test]
fn every_control_character_is_refused_inside_even_where_invisible_ones_are_allowed() {
    let controls: Vec<char> = ('\0'..='\u{1f}').chain('\u{7f}'..='\u{9f}').collect();
    assert_eq!(controls.len(), 65);
    for c in controls {
        assert_eq!(UserId::parse(&format!("u{c}v"), WIDEST).unwrap_err(), BadUserId::Control(c));
        assert!(UserId::parse(&format!("u{c}"), WIDEST).is_err());
        assert!(UserId::parse(&format!("{c}u"), WIDEST).is_err());
    }
}

#[test]
fn white_space_is_refused_at_either_end_and_on_its_own() {
    for c in WHITE_SPACE {
        for id in [format!("{c}u"), format!("u{c}"), format!("{c}"), format!("{c}{c}")] {
            assert_eq!(UserId::parse(&id, WIDEST).unwrap_err(), BadUserId::EdgeWhitespace, "{id:?}");
        }
    }
    for c in WHITE_SPACE.into_iter().filter(|c| !c.is_control()) {
        assert!(UserId::parse(&format!("u{c}v"), WIDEST).is_ok(), "{c:?} inside");
    }
}

#[test]
fn bidirectional_and_invisible_characters_are_refused_unless_the_app_allows_them() {
    for c in BIDI.into_iter().chain(INVISIBLE) {
        let id = format!("u{c}v");
        assert_eq!(parsed(&id).unwrap_err(), BadUserId::Invisible(c), "U+{:04X}", c as u32);
        assert_eq!(UserId::parse(&id, WIDEST).unwrap().as_str(), id);
    }
}

#[test]
fn what_is_seen_is_taken() {
    let seen = [
        "u-1",
        "007",
        "12345",
        "a b",
        "o'neil+x@example.com",
        "\"quoted\\",
        "ÅSA",
        "A\u{30a}SA",
        "用户",
        "пользователь",
        "مستخدم",
        "משתמש",
        "उपयोगकर्ता",
        "🦀",
        "{\"sub\":1}",
        "null",
        "-",
        ".",
        "\u{fffd}",
    ];
    for id in seen {
        assert_eq!(parsed(id).unwrap().as_str(), id);
    }
}

#[test]
fn the_limit_is_in_bytes_and_exact() {
    let rules = |max_bytes| UserIdRules { max_bytes, ..UserIdRules::default() };
    assert!(UserId::parse(&"x".repeat(512), UserIdRules::default()).is_ok());
    assert_eq!(parsed(&"x".repeat(513)).unwrap_err(), BadUserId::TooLong { bytes: 513, max: 512 });
    assert!(parsed(&"🦀".repeat(128)).is_ok());
    assert_eq!(parsed(&"🦀".repeat(129)).unwrap_err(), BadUserId::TooLong { bytes: 516, max: 512 });
    assert!(UserId::parse(&"x".repeat(BRAZE_MAX_USER_ID_BYTES), rules(BRAZE_MAX_USER_ID_BYTES)).is_ok());
    assert!(UserId::parse("x", rules(1)).is_ok());
    assert!(UserId::parse("é", rules(1)).is_err());
    assert_eq!(parsed("").unwrap_err(), BadUserId::Empty);
}

/// A lone surrogate cannot be in a `str`; the JSON parser refuses one that comes as an escape.
#[test]
fn a_lone_surrogate_never_becomes_a_string() {
    for json in [r#""\ud800""#, r#""u\udc00v""#, r#""\ude00\ud83d""#] {
        assert!(serde_json::from_str::<String>(json).is_err(), "{json}");
    }
    assert!(String::from_utf8(b"u\xed\xa0\x80v".to_vec()).is_err());
}

#[test]
fn a_user_id_and_its_refusal_show_no_user_id() {
    assert_eq!(format!("{:?}", parsed("canary").unwrap()), "UserId(6 bytes)");
    for id in ["canary ", "can\0ary", "can\u{200b}ary"] {
        let refusal = parsed(id).unwrap_err();
        assert!(!refusal.to_string().contains("can") && !format!("{refusal:?}").contains("can"), "{refusal}");
    }
}

#[test]
fn a_name_is_1_to_63_plain_characters_and_the_same_for_every_kind() {
    let taken = ["a", "0", "web", "web-2", "a_b", "0-_", &"x".repeat(63)];
    let refused =
        ["", "-a", "_a", "A", "wEb", "a b", " a", "a ", "a.b", "a/b", "a:b", "é", "a\0", "a\n", "..", &"x".repeat(64)];
    for (names, expected) in [(&taken[..], true), (&refused[..], false)] {
        for &name in names {
            let found = [
                name.parse::<AppName>().is_ok(),
                name.parse::<RingName>().is_ok(),
                name.parse::<ClientName>().is_ok(),
                serde_json::from_value::<AppName>(name.into()).is_ok(),
            ];
            assert_eq!(found, [expected; 4], "{name:?}");
        }
    }
}

#[test]
fn an_id_is_read_only_in_the_form_that_it_is_shown_in() {
    let id = "0000018dffeeddccbbaa998877665544";
    assert_eq!(id.parse::<SessionId>().unwrap().to_string(), id);
    assert_eq!(id.to_uppercase().parse::<SessionId>().unwrap().to_string(), id, "capitals are read too");
    let bad =
        [&id[1..], &format!("{id}0"), &id.replace('d', "g"), &id.replace("ff", "+f"), &id.replace("ff", " f"), ""];
    for text in bad {
        assert!(text.parse::<SessionId>().is_err(), "{text:?}");
    }
    assert!("é".repeat(16).parse::<SessionId>().is_err());

    let kid = Kid::from_thumbprint(&[0; 32]);
    assert_eq!(kid.as_str(), "A".repeat(43));
    let last_bits_set = format!("{}B", "A".repeat(42));
    for text in ["", &"A".repeat(42), &"A".repeat(44), &format!("{}=", kid.as_str()), &last_bits_set, &"+".repeat(43)] {
        assert!(text.parse::<Kid>().is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_taken_is_kept_byte_for_byte(id in "\\PC{1,80}") {
        if let Ok(user) = UserId::parse(&id, WIDEST) {
            prop_assert_eq!(user.as_str(), &id);
        }
    }

    #[test]
    fn any_text_is_taken_or_refused_and_never_panics(id: String, max_bytes in 0..1000_usize, allow_invisible: bool) {
        let rules = UserIdRules { max_bytes, allow_invisible };
        if let Ok(user) = UserId::parse(&id, rules) {
            prop_assert!((1..=max_bytes).contains(&user.as_str().len()));
            prop_assert!(!user.as_str().chars().any(char::is_control));
            prop_assert_eq!(user.as_str().trim(), user.as_str());
        }
        let _ = (id.parse::<SessionId>(), id.parse::<Kid>(), id.parse::<AppName>());
    }

    /// New sessions lie together in the store: their ids are in the order of their creation.
    #[test]
    fn session_ids_are_in_the_order_of_time(a in 0..1_i64 << 47, b in 0..1_i64 << 47, low: [u8; 10], high: [u8; 10]) {
        let (first, second) = (SessionId::new(UnixMillis(a), low), SessionId::new(UnixMillis(b), high));
        if a != b {
            prop_assert_eq!(first.cmp(&second), a.cmp(&b));
            prop_assert_eq!(first.to_string().cmp(&second.to_string()), a.cmp(&b));
        }
        prop_assert_eq!(first.to_string().parse::<SessionId>().unwrap(), first);
    }
}

#[test]
fn sessions_of_the_same_millisecond_differ_by_their_random_part() {
    assert_ne!(SessionId::new(NOW, [1; 10]), SessionId::new(NOW, [2; 10]));
}
