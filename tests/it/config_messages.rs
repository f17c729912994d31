//! Wrong values of the configuration, each with its exact sentence: the place, what is expected, an example. No name
//! of a Rust type and no English of a parser is in them.

use std::fs;

use countersign::config::{Environment, Settings, check_text};

/// Sentences about a text that is the whole configuration, as `place: sentence`.
fn told(config: &str) -> Vec<String> {
    check_text(config).iter().map(|error| format!("{}: {}", error.place, error.text)).collect()
}

/// Section, line, sentence about the line.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "server",
        "listen = \"localhost\"",
        "server.listen: \"localhost\" is not an IP address with a port: write it like \"127.0.0.1:8080\"",
    ),
    (
        "server",
        "listen = \"127.0.0.1\"",
        "server.listen: \"127.0.0.1\" is not an IP address with a port: write it like \"127.0.0.1:8080\"",
    ),
    (
        "server",
        "ops_listen = 9090",
        "server.ops_listen: 9090 is not an IP address with a port: write it like \"127.0.0.1:9090\"",
    ),
    (
        "server",
        "listen = { host = \"x\" }",
        "server.listen: { host = \"x\" } is not an IP address with a port: write it like \"127.0.0.1:8080\"",
    ),
    (
        "server",
        "listen = \"0.0.0.0:80\"",
        "server.listen: 0.0.0.0:80 can be reached from elsewhere, and this service speaks plain HTTP: put a TLS terminator in front and set `allow_plaintext = true` in [server]",
    ),
    (
        "server",
        "allow_plaintext = \"yes\"",
        "server.allow_plaintext: \"yes\" is neither true nor false: write it without quotes, like false",
    ),
    ("server", "allow_plaintext = \"true\"", "server.allow_plaintext: \"true\" has quotes: write true without them"),
    (
        "server",
        "allow_plaintext = 1",
        "server.allow_plaintext: 1 is neither true nor false: write it without quotes, like false",
    ),
    (
        "server",
        "trusted_proxies = \"10.0.0.0/8\"",
        "server.trusted_proxies: \"10.0.0.0/8\" is no list: write [\"10.0.0.0/8\"]",
    ),
    (
        "server",
        "trusted_proxies = 8",
        "server.trusted_proxies: 8 is not a list of addresses and networks: write it like [\"10.0.0.0/8\"]",
    ),
    (
        "server",
        "trusted_proxies = [\"10.0.0.0/33\"]",
        "server.trusted_proxies: \"10.0.0.0/33\" is neither an address nor a network like \"10.0.0.0/8\"",
    ),
    (
        "server",
        "max_connections = \"many\"",
        "server.max_connections: \"many\" is not a whole number of 1 or more: write it like 10000",
    ),
    (
        "server",
        "max_connections = 0",
        "server.max_connections: 0 is not a whole number of 1 or more: write it like 10000",
    ),
    (
        "server",
        "max_connections = -1",
        "server.max_connections: -1 is not a whole number of 1 or more: write it like 10000",
    ),
    (
        "server",
        "max_connections = 1.5",
        "server.max_connections: 1.5 is not a whole number of 1 or more: write it like 10000",
    ),
    ("server", "max_connections = \"5\"", "server.max_connections: \"5\" has quotes: write 5 without them"),
    (
        "server",
        "drain = \"soon\"",
        "server.drain: \"soon\" is not a span of time: write it like \"90s\", \"5m\", \"1h 30m\" or \"30d\" (units ms, s, m, h, d)",
    ),
    ("server", "drain = 20", "server.drain: 20 has no unit: write it like \"20s\" or \"20m\" (units ms, s, m, h, d)"),
    ("server", "drain = true", "server.drain: true is not a span of time in quotes: write it like \"20s\""),
    (
        "server",
        "keep_alive = \"10ms\"",
        "server.keep_alive: must be at least \"1s\", and above the proxy's own time: \"75s\" suits most",
    ),
    (
        "server",
        "forwarded_header = \"via\"",
        "server.forwarded_header: \"via\" is neither \"x-forwarded-for\" nor \"forwarded\"",
    ),
    (
        "clock",
        "patience = \"5s\"",
        "clock.patience: must be at least \"1m\": a shorter time would trust any step of the clock",
    ),
    ("server", "lisen = \"x\"", "there is no setting server.lisen; did you mean server.listen?"),
    ("store", "path = 5", "store.path: 5 has no quotes: write \"5\""),
    ("store", "path = [\"x\"]", "store.path: [\"x\"] is not text in quotes: write it like \"countersign.db\""),
    (
        "store",
        "path = \"postgres://db/x\"",
        "store.path: is a URL: write it as store.url, `url = \"postgres://…\"`; path names an SQLite file",
    ),
    (
        "store",
        "path = \"file:///var/lib/countersign.db\"",
        "store.path: is a URL: give the path of an SQLite file, like \"countersign.db\"",
    ),
    (
        "store",
        "url = 5",
        "store.url: must be text in quotes, like \"postgres://countersign@db.example.com/countersign\"",
    ),
    (
        "store",
        "url = [\"postgres://u:canary@db/x\"]",
        "store.url: must be text in quotes, like \"postgres://countersign@db.example.com/countersign\"",
    ),
    ("store", "password = 987654321", "store.password: must be text in quotes"),
    ("store", "password_file = 5", "store.password_file: must be text in quotes, like \"postgres.password\""),
    ("store", "ca_file = 5", "store.ca_file: 5 has no quotes: write \"5\""),
    (
        "store",
        "prepared = \"yes\"",
        "store.prepared: \"yes\" is neither true nor false: write it without quotes, like false",
    ),
    ("store", "connections = 0", "store.connections: 0 is not a whole number of 1 or more: write it like 8"),
    ("store", "connections = 1001", "store.connections: must be at most 1000: 8 suit most nodes"),
    ("store", "timeout = 5", "store.timeout: 5 has no unit: write it like \"5s\" or \"5m\" (units ms, s, m, h, d)"),
    ("store", "timeout = \"10ms\"", "store.timeout: must be \"100ms\" to \"1m\": \"5s\" suits most"),
    ("store", "outage = \"ignore\"", "store.outage: \"ignore\" is neither \"serve\" nor \"refuse\""),
    ("store", "outage_limit = \"59s\"", "store.outage_limit: must be \"1m\" to \"24h\": \"1h\" suits most"),
    ("store", "outage_limit = \"25h\"", "store.outage_limit: must be \"1m\" to \"24h\": \"1h\" suits most"),
    ("store", "outage_memory_mib = 7", "store.outage_memory_mib: must be 8 to 4096: 128 suits most"),
    ("store", "outage_memory_mib = 4097", "store.outage_memory_mib: must be 8 to 4096: 128 suits most"),
    (
        "store",
        "max_sessions_per_user = \"fifty\"",
        "store.max_sessions_per_user: \"fifty\" is not a whole number of 1 or more: write it like 50",
    ),
    ("sealing", "secret_file = 5", "sealing.secret_file: must be text in quotes, like \"sealing.secret\""),
    ("sealing", "secret = 5", "sealing.secret: must be text in quotes"),
    ("custody", "passphrase = 987654321", "custody.passphrase: must be text in quotes"),
    ("custody", "dir = 5", "custody.dir: must be text in quotes, like \"keys\""),
    ("custody", "threads = \"all\"", "custody.threads: \"all\" is not a whole number of 1 or more: write it like 2"),
    (
        "custody",
        "threads = 1025",
        "custody.threads: must be at most 1024: write it like 2; without the setting there is one thread for each processor",
    ),
    (
        "custody",
        "batch = \"no\"",
        "custody.batch: \"no\" is none of \"auto\", \"on\" and \"off\"; did you mean \"on\"?",
    ),
    ("custody", "batch = true", "custody.batch: true is none of \"auto\", \"on\" and \"off\"; did you mean \"on\"?"),
    (
        "custody",
        "max_wait = 30",
        "custody.max_wait: 30 has no unit: write it like \"30ms\" or \"30s\" (units ms, s, m, h, d)",
    ),
    (
        "limits",
        "enabled = \"no\"",
        "limits.enabled: \"no\" is neither true nor false: write it without quotes, like true",
    ),
    (
        "limits",
        "per_client = 5",
        "limits.per_client: 5 is not a pair of whole numbers of 1 or more: write it like { per_second = 2000, burst = 4000 }",
    ),
    (
        "limits",
        "per_client = [5, 6]",
        "limits.per_client: [5, 6] is not a pair of whole numbers of 1 or more: write it like { per_second = 2000, burst = 4000 }",
    ),
    (
        "limits",
        "per_session = { per_second = 0, burst = 5 }",
        "limits.per_session: { burst = 5, per_second = 0 } is not a pair of whole numbers of 1 or more: write it like { per_second = 5, burst = 200 }",
    ),
    (
        "limits",
        "per_address = { burst = 5 }",
        "limits.per_address: { burst = 5 } is not a pair of whole numbers of 1 or more: write it like { per_second = 500, burst = 2000 }",
    ),
    (
        "log",
        "level = \"warning\"",
        "log.level: \"warning\" is no level: use error, warn, info, debug or trace, or a list like \"info,countersign::http=debug\"; did you mean \"warn\"?",
    ),
    (
        "log",
        "level = \"debgu\"",
        "log.level: \"debgu\" is no level: use error, warn, info, debug or trace, or a list like \"info,countersign::http=debug\"; did you mean \"debug\"?",
    ),
    (
        "log",
        "level = \"verbose\"",
        "log.level: \"verbose\" is no level: use error, warn, info, debug or trace, or a list like \"info,countersign::http=debug\"; did you mean \"debug\"?",
    ),
    (
        "log",
        "level = \"quiet\"",
        "log.level: \"quiet\" is no level: use error, warn, info, debug or trace, or a list like \"info,countersign::http=debug\"",
    ),
    (
        "log",
        "level = \"off\"",
        "log.level: \"off\" is no level: use error, warn, info, debug or trace, or a list like \"info,countersign::http=debug\"; did you mean \"error\"?",
    ),
    (
        "log",
        "level = \"\"",
        "log.level: \"\" is no level: use error, warn, info, debug or trace, or a list like \"info,countersign::http=debug\"",
    ),
    (
        "log",
        "level = \"countersign::http\"",
        "log.level: \"countersign::http\" is no level: use error, warn, info, debug or trace, or a list like \"info,countersign::http=debug\"; did you mean \"info,countersign::http=debug\"?",
    ),
    (
        "log",
        "level = \"info,countersign::htp=debug\"",
        "log.level: no event has the target \"countersign::htp\": write it like \"info,countersign::http=debug\"; did you mean countersign::http?",
    ),
    (
        "log",
        "level = \"info,store=debug\"",
        "log.level: no event has the target \"store\": write it like \"info,countersign::http=debug\"; did you mean countersign::store?",
    ),
    ("log", "level = 5", "log.level: 5 has no quotes: write \"5\""),
    ("log", "format = \"jsn\"", "log.format: \"jsn\" is neither \"text\" nor \"json\"; did you mean \"json\"?"),
    ("log", "format = \"JSON\"", "log.format: \"JSON\" is neither \"text\" nor \"json\"; did you mean \"json\"?"),
    (
        "log",
        "requests = \"some\"",
        "log.requests: \"some\" is none of \"all\", \"refusals\" and \"none\"; did you mean \"none\"?",
    ),
    (
        "jwks",
        "max_age = \"5 minutes\"",
        "jwks.max_age: \"5 minutes\" is not a span of time: write it like \"90s\", \"5m\", \"1h 30m\" or \"30d\" (units ms, s, m, h, d)",
    ),
    ("rings.main", "isolate_apps = \"true\"", "rings.main.isolate_apps: \"true\" has quotes: write true without them"),
    (
        "rings.main",
        "rotation = \"90d\"",
        "rings.main.rotation is a section: write [rings.main.rotation], and its settings below",
    ),
    (
        "rings.main.rotation",
        "every = 90",
        "rings.main.rotation.every: 90 has no unit: write it like \"90d\" or \"90s\" (units ms, s, m, h, d)",
    ),
    (
        "rings.main.rotation",
        "every = \"1h\"",
        "rings.main.rotation.every: is too short: a rotation takes soak + the longest token lifetime + margin, 1h 15m here; write it like \"90d\"",
    ),
    (
        "apps.web",
        "ring = \"Main Ring\"",
        "apps.web.ring: \"Main Ring\" is not a name: use 1 to 63 of a-z, 0-9, '-' and '_', starting with a letter or digit",
    ),
    ("apps.web", "ring = 5", "apps.web.ring: 5 has no quotes: write \"5\""),
    ("apps.web", "sdk_api_key = 5", "apps.web.sdk_api_key: 5 has no quotes: write \"5\""),
    (
        "apps.web",
        "lifetime = 3600",
        "apps.web.lifetime: 3600 has no unit: write it like \"3600s\" or \"3600m\" (units ms, s, m, h, d)",
    ),
    ("apps.web", "lifetime = \"10s\"", "apps.web.lifetime: must be whole seconds from \"1m\" to \"24h\""),
    ("apps.web", "max_user_id_bytes = 998", "apps.web.max_user_id_bytes: Braze takes at most 997; the default is 512"),
    (
        "apps.web",
        "allowed_origins = \"https://x.test\"",
        "apps.web.allowed_origins: \"https://x.test\" is no list: write [\"https://x.test\"]",
    ),
    (
        "apps.web",
        "allowed_origins = [8]",
        "apps.web.allowed_origins: 8 is no origin: write scheme://host[:port], like \"https://www.example.com\"",
    ),
    (
        "apps.web",
        "allowed_origins = [\"x.test\"]",
        "apps.web.allowed_origins: \"x.test\" is no origin: write scheme://host[:port], like \"https://www.example.com\"",
    ),
    ("apps.web", "claims = true", "apps.web.claims is a section: write [apps.web.claims], and its settings below"),
    ("apps.web", "claims = []", "apps.web.claims is a section: write [apps.web.claims], and its settings below"),
    (
        "apps.web.claims",
        "iat = \"on\"",
        "apps.web.claims.iat: \"on\" is neither true nor false: write it without quotes, like false",
    ),
    (
        "apps.web.refresh",
        "idle = 30",
        "apps.web.refresh.idle: 30 has no unit: write it like \"30d\" or \"30s\" (units ms, s, m, h, d)",
    ),
    (
        "apps.\"a.b\"",
        "lifetime = 60",
        "apps.a.b.lifetime: 60 has no unit: write it like \"60s\" or \"60m\" (units ms, s, m, h, d)",
    ),
    (
        "braze.main",
        "rest_url = 5",
        "braze.main.rest_url: must be text in quotes, like \"https://rest.iad-01.braze.com\"",
    ),
    (
        "braze.main",
        "rest_url = \"rest.iad-01.braze.com\"",
        "braze.main.rest_url: must be like \"https://rest.iad-01.braze.com\"",
    ),
    ("braze.main", "api_key = 5", "braze.main.api_key: must be text in quotes"),
    (
        "apps.web.refresh",
        "idle = \"1s\"",
        "apps.web.refresh.idle: is shorter than the token's lifetime: sessions would end before their tokens; write it like \"30d\"",
    ),
    (
        "apps.web.refresh",
        "absolute = \"1d\"",
        "apps.web.refresh.absolute: is shorter than idle; write it like \"180d\"",
    ),
    (
        "apps.web.refresh",
        "absolute = \"401d\"",
        "apps.web.refresh.absolute: must be at most \"400d\": ends of users are kept that long",
    ),
    (
        "apps.web.refresh",
        "retry_window = \"59m\"",
        "apps.web.refresh.retry_window: is shorter than store.outage_limit: a device whose refresh token was used as the store was lost would have to log in again; write at least that time here, like \"24h\", lower that, or write `outage = \"refuse\"` in [store]",
    ),
    (
        "rings.main.rotation",
        "check_every = \"0s\"",
        "rings.main.rotation.check_every: must be longer than 0s; write it like \"10m\"",
    ),
];

/// Words that say nothing to an operator.
const FOREIGN: [&str; 20] = [
    "invalid type",
    "invalid value",
    "missing field",
    "expected",
    "struct",
    "sequence",
    "map",
    "nonzero",
    "NonZero",
    "u32",
    "usize",
    "i64",
    "socket address syntax",
    "Raw",
    "Config",
    "Quota",
    "variant",
    "deserial",
    "::Error",
    "serde",
];

fn holds_no_foreign_words(sentence: &str) {
    for word in FOREIGN {
        assert!(!sentence.contains(word), "{word} is in: {sentence}");
    }
}

#[test]
fn each_wrong_value_has_its_sentence() {
    let mut wrong = Vec::new();
    for (section, line, sentence) in WRONG {
        holds_no_foreign_words(sentence);
        let apps = if section.starts_with("apps.web") { "" } else { "[apps.web]\n" };
        let found = told(&format!("[{section}]\n{line}\n{apps}"));
        let (at_line, at_section) =
            (format!("countersign.toml:2:1: {sentence}"), format!("countersign.toml:1:2: {sentence}"));
        if !found.contains(&at_line) && !found.contains(&at_section) {
            wrong.push(format!("[{section}] {line}\n  expected {at_line}\n  found    {found:?}"));
        }
        for text in &found {
            holds_no_foreign_words(text);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sections_are_tables() {
    for (config, sentence) in [
        (
            "server = []\n[apps.web]\n",
            "countersign.toml:1:1: server is a section: write [server], and its settings below",
        ),
        ("apps = 3\n", "countersign.toml:1:1: apps is a section: write [apps.<name>], and its settings below"),
        ("apps.web = []\n", "countersign.toml:1:6: apps.web is a section: write [apps.web], and its settings below"),
        (
            "[rings]\nmain = true\n[apps.web]\n",
            "countersign.toml:2:1: rings.main is a section: write [rings.main], and its settings below",
        ),
    ] {
        assert!(told(config).contains(&sentence.to_owned()), "{:?}", told(config));
    }
}

#[test]
fn what_is_not_toml_has_its_sentence_and_place() {
    let mut wrong = Vec::new();
    for (config, sentences) in [
        (
            "[server]\nlisten = 127.0.0.1:8080\n",
            &["countersign.toml:2:15: not TOML: text needs quotes: name = \"text\""][..],
        ),
        ("[server]\ndrain = 20s\n", &["countersign.toml:2:9: not TOML: text needs quotes: name = \"text\""]),
        ("[custody]\nthreads = 02\n", &["countersign.toml:2:11: not TOML: a number does not begin with 0"]),
        (
            "[log]\nlevel: info\n",
            &["countersign.toml:2:8: not TOML: a setting is written with an equals sign: name = \"text\""],
        ),
        (
            "[log]\nlevel = \"info\n",
            &["countersign.toml:2:14: not TOML: a quote is missing, or \\ is not written \\\\: name = \"text\""],
        ),
        (
            "[server]\ntrusted_proxies = [\"10.0.0.1\"\n[log]\n",
            &[
                "countersign.toml:3:1: not TOML: a comma is missing, or a bracket is not closed: name = [\"one\", \"two\"]",
            ],
        ),
        ("[apps.web]\n[apps.web]\n", &["countersign.toml:2:7: not TOML: this name is given twice: keep one of them"]),
        ("[log]\nlevel = info\n", &["countersign.toml:2:9: not TOML: text needs quotes: name = \"text\""][..]),
        (
            "[log]\nlevel = \"info\"\nlevel = \"warn\"\n",
            &["countersign.toml:3:1: not TOML: this name is given twice: keep one of them"],
        ),
        (
            "[log\nlevel = \"info\"\n",
            &["countersign.toml:1:5: not TOML: a bracket is not closed: a section is written [section]"],
        ),
        (
            "[log]\nlevel\n",
            &["countersign.toml:2:6: not TOML: a setting is written with an equals sign: name = \"text\""],
        ),
        (
            "[log]\nlevel = info\n[server]\ndrain = soon\n",
            &[
                "countersign.toml:2:9: not TOML: text needs quotes: name = \"text\"",
                "countersign.toml:4:9: not TOML: text needs quotes: name = \"text\"",
            ],
        ),
    ] {
        let found = told(config);
        if found != sentences {
            wrong.push(format!("{config}  expected {sentences:?}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_elements_of_a_list_are_judged_one_by_one() {
    let mut found = told(
        "[server]\ntrusted_proxies = [\"nowhere\", \"10.0.0.0/8\", 8, \"10.0.0.0/99\"]\n\
         [apps.web]\nallowed_origins = [\"*\", 5, \"x.test\"]\n",
    );
    found.sort();
    assert_eq!(
        found,
        [
            "countersign.toml:2:1: server.trusted_proxies: \"10.0.0.0/99\" is neither an address nor a network like \"10.0.0.0/8\"",
            "countersign.toml:2:1: server.trusted_proxies: \"nowhere\" is neither an address nor a network like \"10.0.0.0/8\"",
            "countersign.toml:2:1: server.trusted_proxies: 8 is neither an address nor a network like \"10.0.0.0/8\"",
            "countersign.toml:4:1: apps.web.allowed_origins: \"*\" would let every page in: list each origin",
            "countersign.toml:4:1: apps.web.allowed_origins: \"x.test\" is no origin: write scheme://host[:port], like \"https://www.example.com\"",
            "countersign.toml:4:1: apps.web.allowed_origins: 5 is no origin: write scheme://host[:port], like \"https://www.example.com\"",
        ]
    );
}

#[test]
fn one_run_tells_of_every_wrong_value() {
    let sections = ["server", "limits", "log", "custody"];
    let mut config = "[apps.web]\n".to_owned();
    let mut expected = Vec::new();
    for section in sections {
        config.extend(["[", section, "]\n"]);
        let mut seen = std::collections::BTreeSet::new();
        for (_, line, sentence) in WRONG.iter().filter(|(of, _, _)| of == &section) {
            if seen.insert(line.split(' ').next().unwrap()) {
                config.extend([*line, "\n"]);
                expected.push(*sentence);
            }
        }
    }
    let found = told(&config).join("\n");
    assert!(expected.len() > 15);
    for sentence in expected {
        assert!(found.contains(sentence), "{sentence}\nis not in\n{found}");
    }
}

#[test]
fn variables_and_flags_have_the_same_sentences() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("countersign.toml");
    fs::write(&file, "[apps.web]\n").unwrap();
    let variables = [
        ("COUNTERSIGN_SERVER__MAX_CONNECTIONS", "many"),
        ("COUNTERSIGN_SERVER__TRUSTED_PROXIES", "10.0.0.0/8"),
        ("COUNTERSIGN_LIMITS__PER_SESSION__BURST", "8"),
        ("COUNTERSIGN_APPS__WEB__CLAIMS", "{ iat = 5 }"),
        ("COUNTERSIGN_LOG__LEVEL", "warning"),
        ("COUNTERSIGN_SERVER__LISTN", "127.0.0.1:1"),
    ];
    let environment = Environment::of(variables.map(|(name, value)| (name.into(), value.into())));
    let flags = [("server.listen".to_owned(), "localhost:80".to_owned())];
    let told = Settings::load(Some(&file), &environment, &flags).err().unwrap().to_string();
    for sentence in [
        "environment COUNTERSIGN_SERVER__MAX_CONNECTIONS: server.max_connections: \"many\" is not a whole number of 1 or more: write it like 10000",
        "environment COUNTERSIGN_SERVER__TRUSTED_PROXIES: server.trusted_proxies: \"10.0.0.0/8\" is no list: write [\"10.0.0.0/8\"]",
        "limits.per_session: { burst = 8 } is not a pair of whole numbers of 1 or more: write it like { per_second = 5, burst = 200 }",
        "environment COUNTERSIGN_APPS__WEB__CLAIMS: apps.web.claims.iat: 5 is neither true nor false: write it without quotes, like false",
        "environment COUNTERSIGN_LOG__LEVEL: log.level: \"warning\" is no level",
        "environment COUNTERSIGN_SERVER__LISTN: there is no setting server.listn; did you mean server.listen?",
        "flag --listen: server.listen: \"localhost:80\" is not an IP address with a port: write it like \"127.0.0.1:8080\"",
    ] {
        assert!(told.contains(sentence), "{sentence}\nis not in\n{told}");
    }
    holds_no_foreign_words(&told);
}
