//! Keys in files: nobody else can read them, and only the key on record is loaded.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroUsize,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use countersign::{
    clock::UnixMillis,
    custody::{self, Config, Custodian, CustodyError, HeldKey, ImportError, SealedKeyStore, Signer, StoreFault},
    domain::{
        claims::Claims,
        ids::{Kid, RingName, UserId, UserIdRules},
        jws::{SignError, SigningInput},
        key::{KeyRecord, KeyState},
        policy::AppPolicy,
        sealing::{SealingKeys, SealingSecrets},
    },
    secret::{Secret, SystemEntropy},
    telemetry::Metrics,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use tempfile::TempDir;

/// Passphrase of the encrypted fixtures.
pub(crate) const PASSPHRASE: &str = "correct-horse";

pub(crate) fn fixture_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys").join(name)
}

pub(crate) fn fixture(name: &str) -> Vec<u8> {
    fs::read(fixture_path(name)).unwrap()
}

/// Result of a call on keys in files, for a test that is not asynchronous, or within what is not.
pub(crate) fn now<T: Send>(call: impl Future<Output = T> + Send) -> T {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    // The thread of an asynchronous test cannot wait itself.
    std::thread::scope(|scope| scope.spawn(|| runtime().block_on(call)).join().unwrap())
}

fn main() -> RingName {
    "main".parse().unwrap()
}

/// Custody in a folder that lives as long as the test.
pub(crate) struct Custody {
    pub(crate) dir: TempDir,
    pub(crate) custodian: Arc<dyn Custodian>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Custody {
    pub(crate) fn plain() -> Self {
        Self::new(tempfile::tempdir().unwrap(), None)
    }

    pub(crate) fn encrypted() -> Self {
        Self::new(tempfile::tempdir().unwrap(), Some(PASSPHRASE))
    }

    fn new(dir: TempDir, passphrase: Option<&str>) -> Self {
        let metrics = Metrics::new();
        let custodian = open_at(dir.path(), passphrase, &metrics).unwrap();
        Self { dir, custodian, metrics }
    }

    /// Opens the same folder again with another passphrase.
    fn reopened(self, passphrase: Option<&str>) -> Self {
        Self::new(self.dir, passphrase)
    }

    pub(crate) fn import(&self, pem: &[u8], passphrase: Option<&str>) -> Result<HeldKey, ImportError> {
        let passphrase = passphrase.map(|passphrase| Secret::new(passphrase.to_owned()));
        now(self.custodian.import(&main(), &Secret::new(pem.to_vec()), passphrase.as_ref()))
    }

    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn path(&self, held: &HeldKey) -> PathBuf {
        self.dir.path().join(&held.location.locator)
    }

    pub(crate) fn open(&self, held: &HeldKey) -> Result<Arc<dyn Signer>, CustodyError> {
        now(self.custodian.open(&record(held)))
    }

    /// Error of opening this key.
    fn refusal(&self, held: &HeldKey) -> CustodyError {
        self.open(held).err().expect("it was opened")
    }
}

/// Store of sealed keys in memory.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) Mutex<BTreeMap<Kid, Vec<u8>>>);

#[async_trait]
impl SealedKeyStore for Memory {
    async fn get(&self, kid: &Kid) -> Result<Option<Vec<u8>>, StoreFault> {
        Ok(self.0.lock().unwrap().get(kid).cloned())
    }

    async fn insert(&self, kid: &Kid, sealed: Vec<u8>) -> Result<bool, StoreFault> {
        let mut keys = self.0.lock().unwrap();
        let is_new = !keys.contains_key(kid);
        keys.entry(kid.clone()).or_insert(sealed);
        Ok(is_new)
    }

    async fn replace(&self, kid: &Kid, from: Vec<u8>, to: Vec<u8>) -> Result<bool, StoreFault> {
        let mut keys = self.0.lock().unwrap();
        Ok(keys.get_mut(kid).filter(|sealed| **sealed == from).map(|sealed| *sealed = to).is_some())
    }

    async fn delete(&self, kid: &Kid) -> Result<(), StoreFault> {
        self.0.lock().unwrap().remove(kid);
        Ok(())
    }

    async fn kids(&self) -> Result<Vec<Kid>, StoreFault> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }
}

/// Sealing keys of these versions, whose secrets differ.
pub(crate) fn sealing(versions: &str) -> SealingKeys {
    let line = |version: char| format!("{version}:{}", format!("{version}123456789abcdef").repeat(4));
    SealingKeys::derive(&SealingSecrets::parse(&versions.chars().map(line).collect::<Vec<_>>().join("\n")).unwrap())
}

fn open_at(dir: &Path, passphrase: Option<&str>, metrics: &Arc<Metrics>) -> Result<Arc<dyn Custodian>, CustodyError> {
    let config = Config {
        dir: dir.to_owned(),
        passphrase: passphrase.map(|passphrase| Secret::new(passphrase.to_owned())),
        threads: NonZeroUsize::new(2),
        max_wait: Duration::from_mins(1),
        ..Config::default()
    };
    custody::open(config, Arc::<Memory>::default(), sealing("1"), Arc::clone(metrics), Arc::new(SystemEntropy))
        .map(|custody| custody.custodian)
}

pub(crate) fn record(held: &HeldKey) -> KeyRecord {
    KeyRecord {
        kid: held.kid.clone(),
        ring: "main".parse().unwrap(),
        state: KeyState::Active,
        bits: held.bits,
        public_key: held.public_key.clone(),
        custody: held.location.custody.clone(),
        locator: held.location.locator.clone(),
        created: UnixMillis(0),
        changed: UnixMillis(0),
    }
}

pub(crate) fn input(user: &str) -> SigningInput {
    let policy = AppPolicy::default();
    let user = UserId::parse(user, UserIdRules::default()).unwrap();
    let claims = Claims::new(&user, &policy, UnixMillis(4_000_000_000_000), Duration::from_hours(1), [7; 16]);
    SigningInput::new(&claims, None)
}

/// Subject of a token, after another library has verified it.
pub(crate) fn verified_user(token: &str, public_key: &str) -> String {
    let key = DecodingKey::from_rsa_pem(public_key.as_bytes()).unwrap();
    let token = jsonwebtoken::decode::<serde_json::Value>(token, &key, &Validation::new(Algorithm::RS256)).unwrap();
    token.claims["sub"].as_str().unwrap().to_owned()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Decryption takes some 0.1 s, for which the requests of a thread that did it would stand still.
#[tokio::test]
async fn a_key_is_decrypted_beside_the_thread_that_asks_for_it() {
    let custody = Custody::encrypted();
    let record = record(&custody.custodian.generate(&main(), 2048).await.unwrap());
    let mut opening = custody.custodian.open(&record);
    let asked = opening.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert!(asked.is_pending());
    assert!(opening.await.is_ok());
}

#[tokio::test]
async fn a_generated_key_is_kept_opened_and_signs() {
    for (custody, begins) in [
        (Custody::plain(), "-----BEGIN PRIVATE KEY-----\n"),
        (Custody::encrypted(), "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
    ] {
        let held = custody.custodian.generate(&main(), 2048).await.unwrap();
        assert_eq!((held.bits, held.location.custody.as_str()), (2048, "file"));
        assert_eq!(custody.files(), [format!("{}.pem", held.kid)], "nothing else is left");
        assert!(fs::read_to_string(custody.path(&held)).unwrap().starts_with(begins));
        assert_eq!(mode(&custody.path(&held)), 0o600);

        let signer = custody.open(&held).unwrap();
        assert_eq!(*signer.kid(), held.kid);
        let token = signer.sign(input("u-1")).await.unwrap();
        assert_eq!(verified_user(token.expose(), &held.public_key), "u-1");
        assert!(custody.metrics.encode().contains("countersign_sign_seconds_count 1\n"));
    }
}

#[tokio::test]
async fn imported_keys_of_each_size_sign() {
    let custody = Custody::plain();
    for name in ["rsa-2048.pkcs1.pem", "rsa-2056.pkcs8.pem", "rsa-3072.pkcs8.pem", "rsa-4096.pkcs8.pem"] {
        let held = custody.import(&fixture(name), None).unwrap();
        let token = custody.open(&held).unwrap().sign(input(name)).await.unwrap();
        assert_eq!(verified_user(token.expose(), &held.public_key), name);
    }
    assert_eq!(custody.files().len(), 4);
}

#[tokio::test]
async fn only_the_recommended_sizes_are_made() {
    let custody = Custody::plain();
    for bits in [0, 1024, 2047, 2056, 8192] {
        assert!(
            matches!(custody.custodian.generate(&main(), bits).await, Err(CustodyError::Bits(refused)) if refused == bits)
        );
    }
    assert!(custody.files().is_empty());
}

#[test]
fn a_key_may_be_imported_again_and_its_file_stays() {
    for custody in [Custody::plain(), Custody::encrypted()] {
        let held = custody.import(&fixture("rsa-2048.pkcs8.pem"), None).unwrap();
        let before = fs::read(custody.path(&held)).unwrap();
        assert_eq!(custody.import(&fixture("rsa-2048.pkcs1.pem"), None).unwrap(), held);
        assert_eq!(fs::read(custody.path(&held)).unwrap(), before);
        assert_eq!(custody.files().len(), 1);
    }
}

#[test]
fn a_file_that_is_there_is_never_overwritten() {
    let custody = Custody::plain();
    let held = custody.import(&fixture("rsa-2048.pkcs8.pem"), None).unwrap();
    let unlike = [fixture("rsa-3072.pkcs8.pem"), b"not a key".to_vec(), fixture("rsa-2048.encrypted.pem")];
    for other in unlike {
        fs::write(custody.path(&held), &other).unwrap();
        let refusal = custody.import(&fixture("rsa-2048.pkcs8.pem"), None).unwrap_err();
        assert!(
            matches!(&refusal, ImportError::Keep { .. }) && refusal.to_string().contains("move it away"),
            "{refusal}"
        );
        assert_eq!(fs::read(custody.path(&held)).unwrap(), other);
        assert_eq!(custody.files().len(), 1);
    }
}

#[test]
fn an_unencrypted_file_does_not_pass_for_an_encrypted_one() {
    let custody = Custody::plain();
    let held = custody.import(&fixture("rsa-2048.pkcs8.pem"), None).unwrap();
    let custody = custody.reopened(Some(PASSPHRASE));
    assert!(matches!(custody.import(&fixture("rsa-2048.pkcs8.pem"), None), Err(ImportError::Keep { .. })));
    assert!(custody.open(&held).is_ok(), "it goes on signing");
}

#[test]
fn an_encrypted_file_needs_the_passphrase() {
    let custody = Custody::encrypted();
    let held = custody.import(&fixture("rsa-2048.pkcs8.pem"), None).unwrap();
    let custody = custody.reopened(None);
    let missing = custody.refusal(&held);
    assert!(matches!(missing, CustodyError::Unfit { source: ImportError::PassphraseMissing, .. }), "{missing}");
    let custody = custody.reopened(Some("another"));
    let wrong = custody.refusal(&held);
    assert!(matches!(wrong, CustodyError::Unfit { source: ImportError::PassphraseWrong, .. }), "{wrong}");
    assert!(wrong.to_string().contains(&held.location.locator), "{wrong}");
}

#[test]
fn a_file_that_others_may_open_is_refused_with_the_command() {
    let custody = Custody::plain();
    let held = custody.import(&fixture("rsa-2048.pkcs8.pem"), None).unwrap();
    let path = custody.path(&held);
    for bad in [0o604, 0o606, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(bad)).unwrap();
        let refusal = custody.refusal(&held).to_string();
        assert!(refusal.contains(&format!("chmod 600 {}", path.display())), "{refusal}");
    }
    for good in [0o400, 0o440, 0o660] {
        fs::set_permissions(&path, fs::Permissions::from_mode(good)).unwrap();
        assert!(custody.open(&held).is_ok(), "the group is ours: {good:o}");
    }
}

#[test]
fn a_missing_file_is_called_for_only_where_the_key_was_not_destroyed() {
    let custody = Custody::plain();
    let held = custody.import(&fixture("rsa-2048.pkcs8.pem"), None).unwrap();
    let said = |state| {
        let record = KeyRecord { state, ..held.clone().on_record("main".parse().unwrap(), UnixMillis(0)) };
        now(custody.custodian.open(&record)).err().unwrap().to_string()
    };
    fs::remove_file(custody.path(&held)).unwrap();
    assert!(said(KeyState::Active).contains("restore it"));
    for (state, advice) in [(KeyState::Compromised, "keys compromise"), (KeyState::Retired, "rotate run --ring main")] {
        assert!(said(state).contains("do not bring it back") && said(state).contains(advice), "{}", said(state));
    }
    // A restored store may call the key active that was destroyed since.
    let compromised = held.clone().on_record("main".parse().unwrap(), UnixMillis(0)).compromised(UnixMillis(1));
    now(custody.custodian.destroy(&compromised)).unwrap();
    now(custody.custodian.destroy(&compromised)).unwrap();
    assert!(said(KeyState::Active).contains("when the key was compromised: do not bring it back"));
    assert_eq!(now(custody.custodian.orphans(&[])).unwrap(), []);
}

#[test]
fn a_link_out_of_the_folder_or_a_pipe_is_not_read() {
    let custody = Custody::plain();
    let held = custody.import(&fixture("rsa-2048.pkcs8.pem"), None).unwrap();
    let (path, elsewhere) = (custody.path(&held), custody.dir.path().join("elsewhere"));
    fs::rename(&path, &elsewhere).unwrap();
    assert!(custody.refusal(&held).to_string().contains("restore it"));
    symlink(&elsewhere, &path).unwrap();
    assert!(custody.refusal(&held).to_string().contains("is a link that leaves its folder"));
    // One that stays in the folder is followed, and the target judged.
    fs::remove_file(&path).unwrap();
    symlink("elsewhere", &path).unwrap();
    assert!(custody.open(&held).is_ok());
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(custody.refusal(&held).to_string().contains("may be read by every user"));
    fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    assert!(custody.refusal(&held).to_string().contains("not a plain file"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(custody.refusal(&held).to_string().contains("not a plain file"));
}

#[tokio::test]
async fn a_folder_that_others_write_to_is_refused_with_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = Metrics::new();
    let set = |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
    for bad in [0o777, 0o702, 0o1777] {
        set(bad);
        let refusal = open_at(dir.path(), None, &metrics).err().unwrap().to_string();
        assert!(refusal.contains(&format!("chmod go-w {}", dir.path().display())), "{refusal}");
    }
    set(0o755);
    let custodian = open_at(dir.path(), None, &metrics).unwrap();
    set(0o777);
    assert!(
        matches!(custodian.generate(&main(), 2048).await, Err(CustodyError::Access(_))),
        "looked at again at each use"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    set(0o700);
}

#[test]
fn a_missing_folder_is_named_with_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("keys");
    let refusal = open_at(&missing, None, &Metrics::new()).err().unwrap().to_string();
    assert!(refusal.contains(&format!("mkdir -m 700 {}", missing.display())), "{refusal}");
    fs::write(&missing, "a file").unwrap();
    assert!(open_at(&missing, None, &Metrics::new()).is_err());
}

#[test]
fn another_key_in_the_file_is_a_mismatch() {
    let custody = Custody::plain();
    let held = custody.import(&fixture("rsa-2048.pkcs8.pem"), None).unwrap();
    let other = custody.import(&fixture("rsa-3072.pkcs8.pem"), None).unwrap();
    fs::copy(custody.path(&other), custody.path(&held)).unwrap();
    match custody.refusal(&held) {
        CustodyError::Mismatch { wanted, found, .. } => assert_eq!((wanted, found), (held.kid, other.kid)),
        refusal => panic!("{refusal}"),
    }
}

#[test]
fn an_altered_record_is_not_served() {
    let custody = Custody::plain();
    let held = custody.import(&fixture("rsa-2048.pkcs8.pem"), None).unwrap();
    let other = custody.import(&fixture("rsa-3072.pkcs8.pem"), None).unwrap();
    let altered = KeyRecord { public_key: other.public_key, ..record(&held) };
    assert!(matches!(now(custody.custodian.open(&altered)), Err(CustodyError::File { .. })));
    for locator in ["../k.pem", "/etc/passwd", "", "..", "a/b.pem"] {
        let astray = KeyRecord { locator: locator.to_owned(), ..record(&held) };
        let refusal = now(custody.custodian.open(&astray)).err().unwrap().to_string();
        assert!(refusal.contains("not a plain file name"), "{refusal}");
    }
}

#[test]
fn every_check_is_made_again_when_a_key_is_loaded() {
    let custody = Custody::plain();
    let held = custody.import(&fixture("rsa-2048.pkcs8.pem"), None).unwrap();
    for (name, unfit) in [
        ("rsa-1024.pkcs8.pem", ImportError::TooShort { bits: 1024 }),
        ("rsa-2048.e3.pem", ImportError::Exponent),
        ("rsa-2048.close-primes.pem", ImportError::ClosePrimes),
        ("rsa-2048.wrong-crt.pem", ImportError::Mismatch),
    ] {
        fs::write(custody.path(&held), fixture(name)).unwrap();
        match custody.refusal(&held) {
            CustodyError::Unfit { source, .. } => assert_eq!(source, unfit),
            refusal => panic!("{name}: {refusal}"),
        }
    }
    fs::write(custody.path(&held), vec![b'x'; 65 * 1024]).unwrap();
    assert!(custody.refusal(&held).to_string().contains("64 KiB"));
    fs::write(custody.path(&held), "").unwrap();
    assert!(custody.refusal(&held).to_string().contains("empty"));
}

#[tokio::test]
async fn overload_is_an_answer_of_its_own() {
    let error = SignError::Overloaded { retry_after: Duration::from_secs(2) };
    assert_eq!(error.to_string(), "too many signatures are waiting");
    let custody = Custody::plain();
    let held = custody.custodian.generate(&main(), 2048).await.unwrap();
    assert_eq!(custody.open(&held).unwrap().overloaded(), None);
}

#[tokio::test]
#[ignore = "needs openssl; tests/run.sh runs it"]
async fn openssl_reads_what_is_written() {
    for (custody, passphrase) in [(Custody::plain(), "none"), (Custody::encrypted(), PASSPHRASE)] {
        let held = custody.custodian.generate(&main(), 2048).await.unwrap();
        let read = std::process::Command::new("openssl")
            .args(["pkey", "-pubout", "-passin"])
            .arg(format!("pass:{passphrase}"))
            .arg("-in")
            .arg(custody.path(&held))
            .output()
            .unwrap();
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        assert_eq!(String::from_utf8(read.stdout).unwrap(), held.public_key);
    }
}
