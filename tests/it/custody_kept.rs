//! Key files that earlier builds wrote: each is loaded, whatever the libraries of this build would refuse.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::custody::{Custody, PASSPHRASE, fixture, input, verified_user};

/// Every file of `tests/fixtures/keys/kept/`, with the thumbprint under which its writer kept it.
const KEPT: [(&str, &str); 16] = [
    ("generated-2048.pem", "s-QZM__AcNK5jIpfABV3amIUI3I8XAyNpxPH_OU9b5w"),
    ("generated-2048.encrypted.pem", "NCnCMAJLvPdgMc5ae5pTczRPnJZ8JUBCQ3ePGjNcwQ0"),
    ("generated-3072.pem", "zyGNPEJnzFf4myrdQDEkWIZaCFPRkhBErTLIyGBuCA8"),
    ("generated-3072.encrypted.pem", "dF1A9eQ3IA9n5kYVmCKLzdkn1wso57vKEt8IjHhlkus"),
    ("generated-4096.pem", "5oY9lHbvgd30qxB-oEfCDzjQydWWlomiCS2Y-6-4N2Y"),
    ("generated-4096.encrypted.pem", "ao-7VKnETdS840Z-K0g4wwYQfqaNqzU1jjqsPwcrO68"),
    ("imported-2048.pem", "uFTCAQ_8QAwEIXcL8qDd5Fkwk-Yu7z4PDwAadMv8zpM"),
    ("imported-2048.encrypted.pem", "uFTCAQ_8QAwEIXcL8qDd5Fkwk-Yu7z4PDwAadMv8zpM"),
    ("imported-2056.pem", "DnrdfASOP4mo65xYGkAABANNTx76dPcdWbJfWiBY2O8"),
    ("imported-2056.encrypted.pem", "DnrdfASOP4mo65xYGkAABANNTx76dPcdWbJfWiBY2O8"),
    ("imported-unbalanced-primes.pem", "0xThEZEOhkiOMJh7DUfuYSR3X0c3rT4b7U5T-wKxV-4"),
    ("imported-unbalanced-primes.encrypted.pem", "0xThEZEOhkiOMJh7DUfuYSR3X0c3rT4b7U5T-wKxV-4"),
    ("imported-unbalanced-primes-reversed.pem", "U_EVaTRWgHGVagdAAIoFw_f9pAqQYm8MrfHQ94pFKlI"),
    ("imported-unbalanced-primes-reversed.encrypted.pem", "U_EVaTRWgHGVagdAAIoFw_f9pAqQYm8MrfHQ94pFKlI"),
    ("imported-large-d.pem", "huo_AyrWOg5cPcVM6LBVoq0V2kQ7LpQ5Z1cothdUOnw"),
    ("imported-large-d.encrypted.pem", "huo_AyrWOg5cPcVM6LBVoq0V2kQ7LpQ5Z1cothdUOnw"),
];

/// Custody that finds this file in its folder, as the build that wrote it left it there.
fn custody_with(name: &str, kid: &str) -> Custody {
    let custody = if name.contains("encrypted") { Custody::encrypted() } else { Custody::plain() };
    let path = custody.dir.path().join(format!("{kid}.pem"));
    fs::write(&path, fixture(&format!("kept/{name}"))).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    custody
}

#[tokio::test]
async fn every_file_that_an_earlier_build_wrote_is_loaded_and_signs() {
    for (name, kid) in KEPT {
        let custody = custody_with(name, kid);
        let file = fixture(&format!("kept/{name}"));
        let held = custody.import(&file, Some(PASSPHRASE)).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(held.kid.as_str(), kid, "{name}");
        assert_eq!(
            fs::read(custody.dir.path().join(&held.location.locator)).unwrap(),
            file,
            "{name}: nothing was written"
        );
        let signer = custody.open(&held).unwrap_or_else(|why| panic!("{name}: {why}"));
        let token = signer.sign(input("u-1")).await.unwrap();
        assert_eq!(verified_user(token.expose(), &held.public_key), "u-1", "{name}");
    }
}

#[test]
fn no_file_of_an_earlier_build_is_left_out() {
    let mut names: Vec<_> = KEPT.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut files: Vec<_> = fs::read_dir(crate::custody::fixture_path("kept"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    files.sort();
    assert_eq!(names, files);
}

#[test]
fn valid_keys_of_unusual_numbers_are_imported() {
    for (name, kid) in [
        ("rsa-2048.unbalanced-primes.pem", "0xThEZEOhkiOMJh7DUfuYSR3X0c3rT4b7U5T-wKxV-4"),
        ("rsa-2048.unbalanced-primes-reversed.pem", "U_EVaTRWgHGVagdAAIoFw_f9pAqQYm8MrfHQ94pFKlI"),
        ("rsa-2048.large-d.pem", "huo_AyrWOg5cPcVM6LBVoq0V2kQ7LpQ5Z1cothdUOnw"),
    ] {
        for custody in [Custody::plain(), Custody::encrypted()] {
            let held = custody.import(&fixture(name), None).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_eq!((held.kid.as_str(), held.bits), (kid, 2048), "{name}");
            custody.open(&held).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
    }
}
