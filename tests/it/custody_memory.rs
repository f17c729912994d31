//! Memory of the process: no text of a loaded key stays in it, where a core dump or a swapped page would show it.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    process::{Child, Command, Stdio},
};

use countersign::custody::HeldKey;
use zeroize::Zeroizing;

use crate::custody::{Custody, PASSPHRASE, fixture};

/// Work of the child process, which reports its end and lives until its input ends.
const READY: &str = "the key is loaded";

#[test]
fn neither_text_nor_der_of_a_loaded_key_stays_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(dir.path());
    let hits = count(child.id(), &needles());
    // The public half is not secret; finding it shows that the scan works.
    let public = String::from_utf8(fixture("rsa-2048.public.pem")).unwrap();
    let control = count(child.id(), &[public.lines().nth(2).unwrap().as_bytes().to_vec()]);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(hits, 0);
    assert!(control > 0);
}

/// Process whose memory is scanned: not this one, whose other tests hold keys.
#[test]
#[ignore = "the test above starts it"]
fn child() {
    // In a run of all ignored tests nobody closes the input of this one.
    if !std::env::args().any(|arg| arg == "--exact") {
        return;
    }
    let custody = Custody::plain();
    // The test's own copies must not be what is found.
    let pem = |name: &str| Zeroizing::new(fixture(name));
    let plain = custody.import(&pem("rsa-2048.pkcs8.pem"), None).unwrap();
    let sealed = Custody::encrypted();
    let held = sealed.import(&pem("rsa-2048.encrypted.pem"), Some(PASSPHRASE)).unwrap();
    let opened: [(&Custody, &HeldKey); 2] = [(&custody, &plain), (&sealed, &held)];
    let signers = opened.map(|(custody, held)| custody.open(held).unwrap());
    writeln!(std::io::stdout(), "{READY}").unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(signers);
}

fn start(tmp: &std::path::Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["custody_memory::child", "--exact", "--ignored", "--nocapture"])
        .env("TMPDIR", tmp)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line.contains(READY)), "the child ended early");
    child
}

/// Pieces of the private half: of its PEM lines, and of its DER. The first lines hold the public numbers only.
fn needles() -> Vec<Vec<u8>> {
    let pem = String::from_utf8(fixture("rsa-2048.pkcs8.pem")).unwrap();
    let lines = pem.lines().skip(8).filter(|line| line.len() == 64);
    let der = fixture("rsa-2048.pkcs8.der");
    let mut needles: Vec<_> = lines.map(|line| line.as_bytes()[16..48].to_vec()).collect();
    needles.extend(der[400..].chunks_exact(32).map(|chunk| chunk[..24].to_vec()));
    assert!(needles.len() > 40);
    needles
}

/// Number of times that the needles are in the writable memory of a process.
fn count(pid: u32, needles: &[Vec<u8>]) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = 0;
    for region in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = region.split(' ').next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        memory.seek(SeekFrom::Start(start)).unwrap();
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        // Kernel pages cannot be read.
        if memory.read_exact(&mut bytes).is_ok() {
            found += needles.iter().filter(|needle| contains(&bytes, needle)).count();
        }
    }
    found
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let first = needle[0];
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}
