//! Comparable servers with the same contract: `peers/`, one folder for each language.

use std::{
    env,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use super::{
    client::{Call, Client, Target},
    process::Process,
    service::Installation,
    settings,
};

/// A running peer.
pub struct Peer {
    pub name: &'static str,
    pub process: Process,
    pub target: Target,
    _built: tempfile::TempDir,
}

/// A peer that cannot run here, and the reason.
pub struct Missing {
    pub name: &'static str,
    pub why: String,
}

/// Builds a peer in the given folder; returns the command that starts it.
type Prepare = fn(&Path) -> Result<Command, String>;

const PEERS: [(&str, Prepare); 3] =
    [("Node, fastify + jose", node), ("Python, FastAPI + PyJWT", python), ("Go, net/http + golang-jwt", go)];

/// Starts every peer with the key of an installation, and checks its answers.
pub async fn start_all(installation: &Installation) -> Vec<Result<Peer, Missing>> {
    let mut peers = Vec::new();
    for (name, prepare) in PEERS {
        let started = start(name, prepare, installation);
        peers.push(match started {
            Ok(peer) => {
                check(&peer.target, installation).await;
                Ok(peer)
            }
            Err(why) => Err(Missing { name, why }),
        });
    }
    peers
}

fn start(name: &'static str, prepare: Prepare, installation: &Installation) -> Result<Peer, String> {
    let built = tempfile::tempdir().unwrap();
    let mut command = prepare(built.path())?;
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    command
        .arg(address.port().to_string())
        .arg(installation.key_file())
        .arg(&installation.kid)
        .env("PEER_API_KEY", &installation.api_key);
    let (process, _ready) = Process::start(&command, None).map_err(|why| why.to_string())?;
    let target = Target { address, api_key: installation.api_key.clone(), app: "web".to_owned() };
    Ok(Peer { name, process, target, _built: built })
}

fn folder(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/load/peers").join(language)
}

fn node(_: &Path) -> Result<Command, String> {
    if !folder("node").join("node_modules").is_dir() {
        return Err("its packages are not installed: npm ci in tests/load/peers/node".to_owned());
    }
    let mut command = Command::new("node");
    command.arg(folder("node").join("server.js")).env("NODE_ENV", "production");
    runs(Command::new("node").arg("--version"))?;
    Ok(command)
}

fn python(_: &Path) -> Result<Command, String> {
    let mut command = Command::new(settings::python());
    command.arg(folder("python").join("server.py"));
    runs(Command::new(settings::python()).args(["-c", "import fastapi, httptools, jwt, uvicorn, uvloop"])).map_err(
        |why| format!("{why} (tests/load/peers/python/requirements.txt; LOAD_PYTHON names the Python that has them)"),
    )?;
    Ok(command)
}

/// Builds the Go peer with Debian's packages `golang-go` and `golang-github-golang-jwt-jwt-dev`, which use a GOPATH.
fn go(built: &Path) -> Result<Command, String> {
    let server = built.join("server");
    let path = env::var("GOPATH").unwrap_or_else(|_| "/usr/share/gocode".to_owned());
    let mut compiler = Command::new("go");
    compiler.args(["build", "-o"]).arg(&server).arg("main.go").current_dir(folder("go"));
    runs(compiler.env("GO111MODULE", "off").env("GOPATH", path))?;
    Ok(Command::new(server))
}

fn runs(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|why| format!("{name}: {why}"))?;
    let why = || String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {}", why())) }
}

/// Answer of the contract.
#[derive(Deserialize)]
struct Answer {
    token: String,
    token_expires: i64,
    server_time: i64,
    expires_in: i64,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    iat: i64,
    exp: i64,
    jti: String,
}

/// Checks that a server mints tokens that the public key verifies, and refuses a wrong API key.
pub async fn check(target: &Target, installation: &Installation) {
    let mut client = Client::connect(target).await.unwrap();
    assert_eq!(client.call(&Call::Mint).await.unwrap(), 200, "{}", client.answer());
    let (_, body) = client.answer().split_once("\r\n\r\n").unwrap();
    let answer: Answer = serde_json::from_str(body).unwrap();
    let key = DecodingKey::from_rsa_pem(installation.public_key.as_bytes()).unwrap();
    let claims = decode::<Claims>(&answer.token, &key, &Validation::new(Algorithm::RS256)).unwrap().claims;
    assert_eq!(decode_header(&answer.token).unwrap().kid.as_deref(), Some(&*installation.kid));
    assert!(claims.sub.starts_with("user-") && claims.jti.len() >= 16);
    assert_eq!((claims.exp * 1000, answer.server_time / 1000), (answer.token_expires, claims.iat));
    // `expires_in` is rounded to seconds, so `exp` may differ by one.
    assert!((0..=1).contains(&(claims.exp - claims.iat - answer.expires_in)));
    let stranger = Target { api_key: "a wrong one".to_owned(), ..target.clone() };
    let mut client = Client::connect(&stranger).await.unwrap();
    assert_eq!(client.call(&Call::Mint).await.unwrap(), 401);
}
