//! Other people's servers under the same contract: `peers/`, one folder a language.

use std::{
    env,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use super::{
    client::{Call, Client, Door},
    process::Process,
    service::Site,
    settings,
};

/// A peer that runs.
pub struct Peer {
    pub name: &'static str,
    pub process: Process,
    pub door: Door,
    _built: tempfile::TempDir,
}

/// A peer that does not run here, and why.
pub struct Missing {
    pub name: &'static str,
    pub why: String,
}

/// How a peer is started: makes what has to be made in the folder it is given.
type Prepare = fn(&Path) -> Result<Command, String>;

const PEERS: [(&str, Prepare); 3] =
    [("Node, fastify + jose", node), ("Python, FastAPI + PyJWT", python), ("Go, net/http + golang-jwt", go)];

/// Starts every peer with the key of a site, and checks what each answers.
pub async fn start_all(site: &Site) -> Vec<Result<Peer, Missing>> {
    let mut peers = Vec::new();
    for (name, prepare) in PEERS {
        let started = start(name, prepare, site);
        peers.push(match started {
            Ok(peer) => {
                check(&peer.door, site).await;
                Ok(peer)
            }
            Err(why) => Err(Missing { name, why }),
        });
    }
    peers
}

fn start(name: &'static str, prepare: Prepare, site: &Site) -> Result<Peer, String> {
    let built = tempfile::tempdir().unwrap();
    let mut command = prepare(built.path())?;
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    command.arg(address.port().to_string()).arg(site.key_file()).arg(&site.kid).env("PEER_API_KEY", &site.api_key);
    let (process, _ready) = Process::start(&command).map_err(|why| why.to_string())?;
    let door = Door { address, api_key: site.api_key.clone(), app: "web".to_owned() };
    Ok(Peer { name, process, door, _built: built })
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

/// With Debian's packages `golang-go` and `golang-github-golang-jwt-jwt-dev`, which lie in a GOPATH.
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

/// What the contract says of an answer.
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

/// Whoever is measured gives out tokens that the public key verifies, and gives them to nobody without the API key.
pub async fn check(door: &Door, site: &Site) {
    let mut client = Client::connect(door).await.unwrap();
    assert_eq!(client.call(&Call::Mint).await.unwrap(), 200, "{}", client.answer());
    let (_, body) = client.answer().split_once("\r\n\r\n").unwrap();
    let answer: Answer = serde_json::from_str(body).unwrap();
    let key = DecodingKey::from_rsa_pem(site.public_key.as_bytes()).unwrap();
    let claims = decode::<Claims>(&answer.token, &key, &Validation::new(Algorithm::RS256)).unwrap().claims;
    assert_eq!(decode_header(&answer.token).unwrap().kid.as_deref(), Some(&*site.kid));
    assert!(claims.sub.starts_with("user-") && claims.jti.len() >= 16);
    assert_eq!((claims.exp * 1000, answer.server_time / 1000), (answer.token_expires, claims.iat));
    // The seconds that are left are whole ones, and `exp` may be within the last.
    assert!((0..=1).contains(&(claims.exp - claims.iat - answer.expires_in)));
    let stranger = Door { api_key: "a wrong one".to_owned(), ..door.clone() };
    let mut client = Client::connect(&stranger).await.unwrap();
    assert_eq!(client.call(&Call::Mint).await.unwrap(), 401);
}
