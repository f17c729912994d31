//! The configuration: layers, mistakes with their places, and a sample that cannot lie.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use countersign::config::{ConfigErrors, Environment, SAMPLE, Settings, check_text};
use proptest::prelude::*;

/// A folder with a sealing secret and this configuration.
fn folder(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("sealing.secret");
    fs::write(&secret, format!("1:{}\n", "0123456789abcdef".repeat(4))).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(folder.path().join("countersign.toml"), config).unwrap();
    folder
}

fn load(folder: &Path, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
    let environment = Environment::of(environment.iter().map(|(name, value)| (name.into(), value.into())));
    let flags: Vec<(String, String)> =
        flags.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
    Settings::load(Some(&folder.join("countersign.toml")), &environment, &flags)
}

/// The sample with every setting switched on.
fn uncommented() -> String {
    let is_setting =
        |line: &str| line.split_once(" = ").is_some_and(|(name, _)| !name.contains(' ')) || line.starts_with('[');
    let line = |line: &str| line.strip_prefix("# ").filter(|text| is_setting(text)).unwrap_or(line).to_owned();
    SAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The settings whose sample value is an example, because their default is none.
const EXAMPLES: [&str; 14] = [
    "ops_socket",
    "url = \"postgres",
    "password_file",
    "ca_file",
    "sdk_api_key",
    "passphrase_file",
    "threads",
    "workspace",
    "braze_app_id",
    "rest_url",
    "api_key_file",
    "every",
    "url_file",
    "secret_file = \"webhook",
];

#[test]
fn the_sample_shows_every_setting_at_its_default() {
    let as_it_is = folder(SAMPLE);
    // The sign_ins of the sample are examples: by default an app has none.
    let uncommented_text = uncommented();
    let (defaults_part, _) = uncommented_text.split_once("[[").unwrap();
    let switched_on: String = defaults_part
        .lines()
        .filter(|line| !EXAMPLES.iter().any(|name| line.starts_with(name)) && !line.starts_with("[braze."))
        .collect::<Vec<_>>()
        .join("\n");
    let switched_on = folder(&switched_on);
    let [defaults, explicit] = [as_it_is, switched_on].map(|folder| load(folder.path(), &[], &[]).unwrap());
    let without_ring = |mut value: serde_json::Value| {
        value["rings"] = serde_json::Value::Null;
        value
    };
    assert_eq!(without_ring(explicit.to_json()), without_ring(defaults.to_json()));
    // Nothing is missing from it: every setting in force has its line.
    for line in defaults.dump(false).lines().filter_map(|line| line.split_once(" = ")) {
        assert!(
            SAMPLE.contains(&format!("{} = ", line.0)) || ["per_second", "burst"].contains(&line.0),
            "{} is not in the sample",
            line.0
        );
    }
    assert_eq!(
        uncommented().lines().filter(|line| EXAMPLES.iter().any(|name| line.starts_with(name))).count(),
        EXAMPLES.len()
    );
}

#[test]
fn the_readme_names_every_setting() {
    let readme = include_str!("../../README.md");
    for line in uncommented().lines().filter_map(|line| line.split_once(" = ")) {
        assert!(readme.contains(line.0), "{} is not in the README's table", line.0);
    }
}

#[test]
fn flags_go_over_the_environment_over_the_file_over_defaults() {
    let folder =
        folder("[server]\nlisten = \"127.0.0.1:1\"\nops_listen = \"127.0.0.1:2\"\n[apps.web]\n[apps.my-app]\n");
    let environment = [
        ("COUNTERSIGN_SERVER__OPS_LISTEN", "127.0.0.1:3"),
        ("COUNTERSIGN_SERVER__LISTEN", "127.0.0.1:4"),
        ("COUNTERSIGN_APPS__MY_APP__LIFETIME", "5m"),
        ("COUNTERSIGN_APPS__WEB__CLAIMS__IAT", "true"),
        ("COUNTERSIGN_SERVER__TRUSTED_PROXIES", "[\"10.0.0.0/8\", \"192.0.2.1\"]"),
        ("COUNTERSIGN_LIMITS__PER_SESSION", "{ per_second = 7, burst = 8 }"),
        ("COUNTERSIGN_CUSTODY__PASSPHRASE", "12345"),
        ("COUNTERSIGN_CONFIG", "elsewhere.toml"),
    ];
    let settings = load(folder.path(), &environment, &[("server.listen", "127.0.0.1:5")]).unwrap();
    assert_eq!(settings.server().listen.port(), 5);
    assert_eq!(settings.server().ops_listen.port(), 3);
    assert_eq!(settings.server().trusted_proxies.len(), 2);
    assert_eq!(settings.limits().per_session.burst.get(), 8);
    assert_eq!(settings.custody().passphrase.unwrap().expose(), "12345");
    let policies = settings.policies();
    assert_eq!(policies[&"my-app".parse().unwrap()].lifetime.as_secs(), 300);
    assert!(policies[&"web".parse().unwrap()].claims.iat);
    let dump = settings.dump(true);
    assert!(
        dump.contains("environment COUNTERSIGN_SERVER__OPS_LISTEN")
            && dump.contains("flag --listen")
            && dump.contains("# default"),
        "{dump}"
    );
    assert!(!dump.contains("12345"));
}

#[test]
fn a_section_is_a_table() {
    for section in ["server = []", "limits = 3", "store = \"here\""] {
        let folder = folder(&format!("{section}\n[apps.web]\n"));
        let mistakes = load(folder.path(), &[], &[]).err().unwrap().to_string();
        let name = section.split(' ').next().unwrap();
        assert!(mistakes.contains(&format!("countersign.toml:1:1: {name} is a section: write [{name}]")), "{mistakes}");
    }
}

#[test]
fn every_mistake_is_found_at_once_with_its_place() {
    let config = r#"
[server]
listen = "0.0.0.0:8080"
max_connections = 0
trusted_proxies = ["nowhere"]
[store]
path = "postgres://db/x"
colour = "red"
[custody]
threads = 1025
[log]
level = "loud=chatty=x"
[apps.web]
lifetime = "10s"
lifetme = "1h"
max_user_id_bytes = 998
allowed_origins = ["*", "null", "https://x.test/", "https://X.test", "https://x.test:443", "x.test", "https://x.test:99999"]
[apps.web.claims]
iss = true
[apps.web.refresh]
idle = "1s"
[apps.Bad]
"#;
    let folder = folder(config);
    let environment = [
        ("COUNTERSIGN_SERVER__LISTN", "x"),
        ("COUNTERSIGN_SERVER__DRAIN", "soon"),
        ("COUNTERSIGN_SERVER__KEEP_ALIVE", "10ms"),
        ("COUNTERSIGN_SERVER__FORWARDED_HEADER", "via"),
    ];
    let mistakes = load(folder.path(), &environment, &[]).err().unwrap().to_string();
    let expected = [
        "countersign.toml:3:1: server.listen: 0.0.0.0:8080 can be reached",
        "environment COUNTERSIGN_SERVER__KEEP_ALIVE: server.keep_alive: must be at least \"1s\"",
        "environment COUNTERSIGN_SERVER__FORWARDED_HEADER: server.forwarded_header: \"via\" is neither \"x-forwarded-for\" nor \"forwarded\"",
        "countersign.toml:4:1: server.max_connections:",
        "countersign.toml:5:1: server.trusted_proxies: \"nowhere\" is neither",
        "countersign.toml:7:1: store.path: is a URL",
        "countersign.toml:8:1: there is no setting store.colour",
        "countersign.toml:10:1: custody.threads: must be at most 1024",
        "countersign.toml:14:1: apps.web.lifetime: must be",
        "countersign.toml:15:1: there is no setting apps.web.lifetme; did you mean apps.<name>.lifetime?",
        "countersign.toml:16:1: apps.web.max_user_id_bytes: Braze takes at most 997",
        "countersign.toml:17:1: apps.web.allowed_origins: \"*\" would let every page in",
        "\"null\" is what pages without an origin send",
        "\"https://x.test/\" has more than",
        "\"https://X.test\" is not as browsers send it",
        "\"https://x.test:443\" names the default port",
        "\"x.test\" is no origin",
        "\"https://x.test:99999\" has no host",
        "countersign.toml:19:1: apps.web.claims.iss: needs the app's sdk_api_key",
        "countersign.toml:21:1: apps.web.refresh.idle: is shorter than the token's lifetime",
        "apps.Bad: \"Bad\" is not a name",
        "environment COUNTERSIGN_SERVER__LISTN: there is no setting server.listn; did you mean server.listen?",
        "environment COUNTERSIGN_SERVER__DRAIN: server.drain: \"soon\" is not a span of time",
    ];
    for part in expected {
        assert!(mistakes.contains(part), "{part}\nis not in: {mistakes}");
    }
}

#[test]
fn patience_with_a_clock_is_a_minute_at_least() {
    let folder = folder("[apps.web]\n");
    let of = |patience| [("COUNTERSIGN_CLOCK__PATIENCE", patience)];
    let refused = load(folder.path(), &of("59s"), &[]).err().unwrap().to_string();
    assert!(refused.contains("clock.patience: must be at least \"1m\""), "{refused}");
    assert!(load(folder.path(), &of("1m"), &[]).is_ok());
}

#[test]
fn secret_files_are_looked_at_closely() {
    let told = |change: &dyn Fn(&Path)| {
        let folder = folder("[apps.web]\n");
        change(&folder.path().join("sealing.secret"));
        load(folder.path(), &[], &[]).err().unwrap().to_string()
    };
    let mode = |mode: u32| move |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    assert!(told(&mode(0o644)).contains("chmod 600"));
    assert!(told(&mode(0o602)).contains("chmod 600"));
    assert!(told(&|path| fs::remove_file(path).unwrap()).contains("countersign init"));
    assert!(told(&|path| fs::write(path, "").unwrap()).contains("holds no secret"));
    let shown = told(&|path| fs::write(path, "1:canary").unwrap());
    assert!(shown.contains("entry 1") && !shown.contains("canary"), "{shown}");
    for secret in ["[custody]\npassphrase = 987654321\n", "[sealing]\nsecret = 987654321\n"] {
        let told = load(folder(&format!("[apps.web]\n{secret}")).path(), &[], &[]).err().unwrap().to_string();
        assert!(told.contains("must be text in quotes") && !told.contains("987654321"), "{told}");
    }
    let pasted = format!("1:{}", "0123456789abcdef".repeat(4));
    for config in [
        format!("sealing = \"{pasted}\"\n[apps.web]\n"),
        format!("[apps.web]\n[sealing]\nsecret_file = \"{pasted}\"\n"),
    ] {
        let told = load(folder(&config).path(), &[], &[]).err().unwrap().to_string();
        assert!(!told.contains("0123456789abcdef"), "{told}");
    }
    let folder = folder("[apps.web]\n");
    mode(0o440)(&folder.path().join("sealing.secret"));
    assert!(load(folder.path(), &[], &[]).is_ok(), "as containers mount secrets");
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_text() {
    let config = "[custody]\npassphrase_file = \"passphrase\"\n[braze.main]\nrest_url = \"https://rest.iad-01.braze.com\"\n\
        api_key_file = \"braze.key\"\n[apps.web]\n";
    let folder = folder(&format!("\u{FEFF}{config}"));
    let write = |name: &str, bytes: &[u8]| {
        fs::write(folder.path().join(name), bytes).unwrap();
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    let secret = format!("1:{}", "0123456789abcdef".repeat(4));
    let texts = [("sealing.secret", secret.as_str()), ("passphrase", "pw"), ("braze.key", "rest-key")];
    for (name, text) in texts {
        write(name, format!("\u{FEFF}{text}\r\n").as_bytes());
    }
    let settings = load(folder.path(), &[], &[]).unwrap();
    assert_eq!(settings.custody().passphrase.unwrap().expose(), "pw");
    assert_eq!(settings.braze()["main"].api_key.as_ref().unwrap().expose(), "rest-key");
    load(folder.path(), &[("COUNTERSIGN_SEALING__SECRET", &format!("\u{FEFF}{secret}"))], &[]).unwrap();

    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    for (name, text) in texts.into_iter().chain([("countersign.toml", config)]) {
        let before = fs::read(folder.path().join(name)).unwrap();
        for bytes in [utf16(text), [&[0xFF, 0xFE][..], &utf16(text)].concat()] {
            write(name, &bytes);
            let told = load(folder.path(), &[], &[]).err().unwrap().to_string();
            assert!(told.contains(name) && told.contains("is text in UTF-16: save it as UTF-8"), "{told}");
        }
        write(name, b"1:\xE9\n");
        let told = load(folder.path(), &[], &[]).err().unwrap().to_string();
        assert!(told.contains("is not text in UTF-8 (byte 3)"), "{told}");
        write(name, &before);
    }
}

#[test]
fn a_damaged_sealing_secret_is_not_to_be_replaced() {
    let digits = "0123456789abcdef".repeat(4);
    for (text, told) in [
        (format!("\"1:{digits}\"\n"), "entry 1 has quotes: take them away"),
        (format!("1:'{digits}'\n"), "entry 1 has quotes: take them away"),
        (format!("\u{201C}1:{digits}\u{201D}\n"), "entry 1 has quotes: take them away"),
        (format!("1:{}\n", &digits[1..]), "entry 1 is not `<version>:<64 hexadecimal digits>`: correct it, or restore"),
        (format!("{digits}\n"), "entry 1 is not `<version>:<64 hexadecimal digits>`: correct it, or restore"),
    ] {
        let folder = folder("[apps.web]\n");
        fs::write(folder.path().join("sealing.secret"), &text).unwrap();
        let mistakes = load(folder.path(), &[], &[]).err().unwrap().to_string();
        assert!(mistakes.contains(told), "{mistakes}");
        assert!(!mistakes.contains("openssl rand") && !mistakes.contains("init"), "{mistakes}");
        assert!(!mistakes.contains(&digits[1..]), "{mistakes}");
    }
}

#[test]
fn a_missing_file_has_the_remedy_of_its_kind() {
    let config = "[custody]\npassphrase_file = \"passphrase\"\n[braze.main]\nrest_url = \"https://rest.iad-01.braze.com\"\n\
        api_key_file = \"braze.key\"\n[apps.web]\n";
    let folder = folder(config);
    fs::remove_file(folder.path().join("sealing.secret")).unwrap();
    let told = load(folder.path(), &[], &[]).err().unwrap().to_string();
    for (name, remedy, of_init) in [
        ("sealing.secret ", "restore it from the backup", true),
        ("passphrase ", "write the passphrase of the key files there", false),
        ("braze.key ", "write the REST API key there, from Braze", false),
    ] {
        let line = told.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {told}"));
        assert!(line.contains(remedy) && line.contains("does not exist"), "{line}");
        assert_eq!(line.contains("init"), of_init, "{line}");
    }
}

#[test]
fn the_setting_for_invisible_characters_is_named() {
    for wrong in ["allow_invisible", "allow_invisible_chars", "allow_invisible_character"] {
        let told = load(folder(&format!("[apps.web]\n{wrong} = true\n")).path(), &[], &[]).err().unwrap().to_string();
        assert!(told.contains("did you mean apps.<name>.allow_invisible_characters?"), "{told}");
    }
}

#[test]
fn variables_that_kubernetes_makes_are_not_ours() {
    let folder = folder("[apps.web]\n");
    let made = [
        ("COUNTERSIGN_PORT", "tcp://10.0.0.1:8080"),
        ("COUNTERSIGN_SERVICE_HOST", "10.0.0.1"),
        ("COUNTERSIGN_PORT_8080_TCP", "x"),
    ];
    assert!(load(folder.path(), &made, &[]).is_ok());
}

/// The lines that Kubernetes sets in every pod for a service named `countersign-metrics`.
const SERVICE_LINKS: &str = "\
COUNTERSIGN_METRICS_SERVICE_HOST=10.0.0.6
COUNTERSIGN_METRICS_SERVICE_PORT=9090
COUNTERSIGN_METRICS_PORT=tcp://10.0.0.6:9090
COUNTERSIGN_METRICS_PORT_9090_TCP=tcp://10.0.0.6:9090
COUNTERSIGN_METRICS_PORT_9090_TCP_PROTO=tcp
COUNTERSIGN_METRICS_PORT_9090_TCP_PORT=9090
COUNTERSIGN_METRICS_PORT_9090_TCP_ADDR=10.0.0.6";

#[test]
fn variables_of_others_are_at_most_one_warning() {
    let folder = folder("[apps.web]\n");
    let warnings = |variables: &[(&str, &str)]| load(folder.path(), variables, &[]).unwrap().warnings();
    let links: Vec<(&str, &str)> = SERVICE_LINKS.lines().filter_map(|line| line.split_once('=')).collect();
    assert_eq!(warnings(&links), [""; 0]);
    assert_eq!(warnings(&[("COUNTERSIGN_API_KEY", "csk1_x")]), [""; 0], "of our own README");
    let others =
        [("COUNTERSIGN_SERVER_LISTEN", "127.0.0.1:1"), ("COUNTERSIGN_BINARY", "x"), ("COUNTERSIGN_LIMITS", "3")];
    assert_eq!(
        warnings(&others),
        ["ignored in the environment: COUNTERSIGN_BINARY, COUNTERSIGN_LIMITS, COUNTERSIGN_SERVER_LISTEN \
          (did you mean COUNTERSIGN_SERVER__LISTEN?); a setting has two underscores after its section, \
          like COUNTERSIGN_SERVER__LISTEN"]
    );
}

const WEB_KEY: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
const IOS_KEY: &str = "1a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";

fn sdk_app(name: &str, key: &str) -> String {
    format!("[apps.{name}]\nsdk_api_key = \"{key}\"\n")
}

#[test]
fn apps_with_the_same_sdk_api_key_are_not_isolated() {
    let upper = WEB_KEY.to_uppercase();
    let same = format!("{}{}", sdk_app("ios", WEB_KEY), sdk_app("web", &upper));
    let isolated = format!("[rings.main]\nisolate_apps = true\n{same}");
    let told = load(folder(&isolated).path(), &[], &[]).err().unwrap().to_string();
    let expected = "countersign.toml:6:1: apps.web.sdk_api_key: app ios has the same, and ring main isolates its apps \
        by it: give each app its own, from the Braze dashboard";
    assert!(told.contains(expected), "{told}");

    let warnings = |config: &str| load(folder(config).path(), &[], &[]).unwrap().warnings();
    let meaning = "apps ios and web have the same sdk_api_key: at Braze they are one app, where a token of any of them \
        is good";
    for config in [same.clone(), format!("[rings.other]\nisolate_apps = true\n{same}ring = \"other\"\n")] {
        assert!(warnings(&config).contains(&meaning.to_owned()), "{:?}", warnings(&config));
    }
    let malformed = "apps.web.sdk_api_key: \"0a1b2c3d4e5f\" is no UUID like \"0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9\": \
        copy the app's SDK API key from the Braze dashboard";
    assert_eq!(warnings(&sdk_app("web", "0a1b2c3d4e5f")), [malformed]);
}

#[test]
fn another_endpoint_of_braze_is_a_warning() {
    let of = |url: &str| {
        let config = BRAZE.replace("https://rest.iad-01.braze.com", url);
        load(folder(&config).path(), &[], &[]).unwrap().warnings()
    };
    assert_eq!(
        of("https://sdk.fra-01.braze.eu"),
        [
            "braze.main.rest_url: sdk.fra-01.braze.eu is the SDK endpoint; the REST endpoint is \"https://rest.fra-01.braze.eu\""
        ]
    );
    assert!(of("https://dashboard-01.braze.com")[0].contains("is no REST endpoint"));
    assert_eq!(of("https://rest.fra-01.braze.eu"), [""; 0]);
}

#[test]
fn what_is_allowed_and_probably_not_meant_is_a_warning() {
    let warnings = |config: &str| load(folder(config).path(), &[], &[]).unwrap().warnings();
    assert!(warnings("[apps.web]\n").is_empty());
    assert!(warnings("[apps.web]\n[apps.ios]\n")[0].contains("isolate_apps"));
    assert!(warnings("[apps.web.claims]\njti = false\n")[0].contains("jti"));
    assert!(warnings("[apps.web]\n[rings.mian]\nisolate_apps = true\n")[0].contains("rings.mian"));
    let isolated = format!("[rings.main]\nisolate_apps = true\n{}{}", sdk_app("web", WEB_KEY), sdk_app("ios", IOS_KEY));
    assert!(warnings(&isolated).is_empty());
    let mistyped = warnings("[apps.web]\n[apps.ios]\nring = \"mian\"\n");
    assert_eq!(mistyped, ["apps.ios.ring: only app ios uses ring mian; did you mean main?"]);
    assert!(warnings("[apps.web]\n[apps.ios]\nring = \"ios\"\n").is_empty());
    assert!(warnings("[apps.web]\n[apps.ios]\nring = \"main2\"\n").is_empty());
}

/// An app whose ring is wrong is not on the default ring: that ring's rules are no second mistake.
#[test]
fn a_wrong_ring_is_one_mistake() {
    for ring in ["\"Main Ring\"", "5"] {
        let config =
            format!("[rings.main]\nisolate_apps = true\n[apps.web]\nsdk_api_key = \"a\"\n[apps.ios]\nring = {ring}\n");
        let Err(errors) = load(folder(&config).path(), &[], &[]) else { panic!("{ring} is no ring") };
        let texts: Vec<&str> = errors.iter().map(|error| error.text.as_str()).collect();
        assert!(matches!(texts[..], [text] if text.starts_with("apps.ios.ring: ")), "{texts:?}");
    }
}

#[test]
fn a_dump_reads_as_the_same_configuration() {
    let first = load(
        folder("[server]\ndrain = \"1h 30m\"\n[apps.web]\nlifetime = \"90s\"\n[apps.web.refresh]\nidle = \"1d 1h\"\n")
            .path(),
        &[],
        &[],
    )
    .unwrap();
    for origin in [false, true] {
        let again = load(folder(&first.dump(origin)).path(), &[], &[]).unwrap();
        assert_eq!(again.to_json(), first.to_json());
    }
}

#[test]
fn what_needs_a_restart_is_named() {
    let settings = |config: &str| load(folder(config).path(), &[], &[]).unwrap();
    let old = settings("[apps.web]\n");
    assert!(old.restart_needed(&settings("[apps.web]\nlifetime = \"5m\"\n")).is_empty());
    assert_eq!(old.restart_needed(&settings("[server]\nlisten = \"127.0.0.1:1\"\n[apps.web]\n")), ["server.listen"]);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}|(\\[(server|apps\\.web|limits|x)\\]\n|(listen|lifetime|per_session|a) = (1|\"x\"|true|\\{ burst = 0 \\}|\\[\\])\n){0,8}") {
        for mistake in check_text(&text).iter() {
            prop_assert!(!mistake.place.is_empty() && !mistake.text.is_empty());
        }
    }
}

/// A workspace with its key in the file, an app in it, and how the ring is rotated.
const BRAZE: &str = "[braze.main]\nrest_url = \"https://rest.iad-01.braze.com\"\napi_key = \"rest-key-of-ours\"\n\
    [rings.main.rotation]\nevery = \"90d\"\n\
    [apps.web]\nworkspace = \"main\"\nbraze_app_id = \"id-1\"\n";

#[test]
fn what_is_said_of_braze_must_fit_together() {
    let settings = load(folder(BRAZE).path(), &[], &[]).unwrap();
    assert_eq!(settings.warnings(), [""; 0]);
    let rotation = &settings.rings_to_rotate()[0];
    assert_eq!(rotation.config.every, Some(std::time::Duration::from_hours(24 * 90)));
    assert_eq!(rotation.apps[0].at_braze, Some(("main".to_owned(), "id-1".to_owned())));
    for shown in [settings.dump(true), settings.to_json().to_string()] {
        assert!(!shown.contains("rest-key-of-ours"), "{shown}");
    }

    for (from, to, mistake) in [
        ("https://rest.iad-01.braze.com", "http://rest.iad-01.braze.com", "plain HTTP"),
        ("https://rest.iad-01.braze.com", "rest.iad-01.braze.com", "must be like"),
        ("api_key = \"rest-key-of-ours\"", "", "set api_key_file"),
        ("rest-key-of-ours", "two words", "holds no REST API key"),
        ("workspace = \"main\"", "workspace = \"other\"", "no table [braze.other]"),
        ("workspace = \"main\"\n", "", "needs the workspace too"),
        ("braze_app_id = \"id-1\"\n", "", "needs the braze_app_id too"),
        ("90d", "1h 10m", "is too short"),
        ("[apps.web]", "[apps.ios]\nworkspace = \"main\"\nbraze_app_id = \"id-1\"\n[apps.web]", "another app has it"),
    ] {
        let text = BRAZE.replace(from, to);
        let mistakes = load(folder(&text).path(), &[], &[]).err().unwrap_or_else(|| panic!("{text}")).to_string();
        assert!(mistakes.contains(mistake), "{mistake} is not in {mistakes}");
        assert!(!mistakes.contains("two words"), "a secret is not shown: {mistakes}");
    }
    let loopback = BRAZE.replace("https://rest.iad-01.braze.com", "http://127.0.0.1:8080");
    load(folder(&loopback).path(), &[], &[]).unwrap();
    let hasty = BRAZE.replace("every = \"90d\"", "soak = \"1m\"");
    assert!(load(folder(&hasty).path(), &[], &[]).unwrap().warnings()[0].contains("5 minutes"));
    let by_environment = BRAZE.replace("api_key = \"rest-key-of-ours\"\n", "");
    load(folder(&by_environment).path(), &[("COUNTERSIGN_BRAZE__MAIN__API_KEY", "k")], &[]).unwrap();
}
