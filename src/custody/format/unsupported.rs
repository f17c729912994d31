//! What people hand in instead of an RSA private key in PEM, and what they should do.

use std::fmt;

/// Something else than the PEM of an RSA private key. Shows as what it is and what to do; never shows its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsupportedKey {
    /// Nothing, or white space.
    Empty,
    /// Larger than any key.
    TooLarge,
    /// A public key: SPKI, PKCS#1 or OpenSSH.
    PublicKey,
    /// An X.509 certificate.
    Certificate,
    /// A request for a certificate (PKCS#10).
    CertificateRequest,
    /// An elliptic curve key: SEC1 or PKCS#8.
    EcKey,
    /// Ed25519, Ed448, X25519 or X448.
    EdwardsKey,
    /// An RSA key that its own identifier restricts to PSS (RFC 4055 §1.2).
    RsaPss,
    /// A DSA key.
    DsaKey,
    /// PKCS#8 of another algorithm.
    OtherAlgorithm,
    /// OpenSSH's own form.
    OpenSsh,
    /// The own form of `PuTTY`.
    Putty,
    /// A PGP key or message.
    Pgp,
    /// PKCS#1 under OpenSSL's old PEM encryption (RFC 1421 headers).
    LegacyEncrypted,
    /// A key in DER.
    Der,
    /// PKCS#12.
    Pkcs12,
    /// A Java keystore.
    JavaKeystore,
    /// JSON: a JWK, most likely.
    Json,
    /// More than one PEM block.
    Several,
    /// A PEM block of another kind.
    OtherPem,
    /// A BEGIN line without its END line.
    CutOff,
    /// What is between the lines is not base64.
    BadBase64,
    /// PEM with `\n` written out.
    EscapedNewlines,
    /// PEM in base64 once more.
    Base64OfPem,
    /// Base64 without BEGIN and END.
    BareBase64,
    /// UTF-16 text.
    Utf16,
    /// Nothing known.
    Garbage,
}

const NEEDS_RSA: &str = "Braze accepts RS256 only, which needs an RSA key; `countersign keys generate` makes one";
const GIVE_PRIVATE: &str = "give the private key that belongs to it (-----BEGIN PRIVATE KEY-----)";

impl UnsupportedKey {
    /// What it is, as in "this is …".
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// What it is, and the next step.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Empty => ("an empty file", "give the PEM file of an RSA private key"),
            Self::TooLarge => {
                ("a file of more than 64 KiB", "no key is that large; give the PEM file of the key alone")
            }
            Self::PublicKey => ("a public key", GIVE_PRIVATE),
            Self::Certificate => ("a certificate, which holds a public key only", GIVE_PRIVATE),
            Self::CertificateRequest => ("a certificate request, which holds a public key only", GIVE_PRIVATE),
            Self::EcKey => ("an EC key", NEEDS_RSA),
            Self::EdwardsKey => ("an Ed25519, Ed448 or X25519 key", NEEDS_RSA),
            Self::RsaPss => ("an RSA key for PSS only (RSASSA-PSS)", NEEDS_RSA),
            Self::DsaKey => ("a DSA key", NEEDS_RSA),
            Self::OtherAlgorithm => ("a private key of another algorithm", NEEDS_RSA),
            Self::OpenSsh
            | Self::Putty
            | Self::Pgp
            | Self::LegacyEncrypted
            | Self::Der
            | Self::Pkcs12
            | Self::JavaKeystore
            | Self::Json => self.other_container(),
            _ => self.damaged(),
        }
    }

    /// A key, perhaps, but in another tool's form.
    fn other_container(self) -> (&'static str, &'static str) {
        match self {
            Self::OpenSsh => (
                "a private key in OpenSSH's own form",
                "convert a copy, which is rewritten in place: ssh-keygen -p -m pkcs8 -f copy-of-key",
            ),
            Self::Putty => (
                "a private key in PuTTY's own form",
                "convert it: puttygen key.ppk -O private-openssh -o key && ssh-keygen -p -m pkcs8 -f key",
            ),
            Self::Pgp => ("a PGP key", NEEDS_RSA),
            Self::LegacyEncrypted => (
                "a private key under OpenSSL's old PEM encryption (Proc-Type: 4,ENCRYPTED)",
                "convert it: openssl pkcs8 -topk8 -in key.pem -out key.pkcs8.pem",
            ),
            Self::Der => ("a key in DER, not in PEM", "convert it: openssl pkey -inform DER -in key.der -out key.pem"),
            Self::Pkcs12 => (
                "a PKCS#12 bundle (.p12, .pfx)",
                "take the key out of it: openssl pkcs12 -in bundle.p12 -nocerts -out key.pem",
            ),
            Self::JavaKeystore => (
                "a Java keystore",
                "turn it into PKCS#12 first (keytool -importkeystore -srckeystore old.jks -destkeystore bundle.p12 \
                 -deststoretype PKCS12), then: openssl pkcs12 -in bundle.p12 -nocerts -out key.pem",
            ),
            _ => (
                "JSON (a JWK?), not PEM",
                "export the key as PEM (PKCS#8), or let `countersign keys generate` make one",
            ),
        }
    }

    /// Text that once was PEM, or never was.
    fn damaged(self) -> (&'static str, &'static str) {
        match self {
            Self::Several => (
                "a file with several PEM blocks",
                "leave the private key alone in it, from its BEGIN line to its END line",
            ),
            Self::OtherPem => ("a PEM file of another kind", "give an RSA private key (-----BEGIN PRIVATE KEY-----)"),
            Self::CutOff => ("a PEM file without its END line", "copy it again, whole, with the -----END …----- line"),
            Self::BadBase64 => {
                ("a PEM file whose inside is not base64", "copy it again as a file, not through a document or a chat")
            }
            Self::EscapedNewlines => (
                "a PEM file whose line ends are written as \\n",
                "put real line ends in, e.g. with: printf '%b' \"$(cat key.txt)\" > key.pem",
            ),
            Self::Base64OfPem => ("a PEM file in base64 once more", "decode it: base64 -d key.txt > key.pem"),
            Self::BareBase64 => (
                "base64 without its BEGIN and END lines",
                "put -----BEGIN PRIVATE KEY----- before it and -----END PRIVATE KEY----- after it",
            ),
            Self::Utf16 => {
                ("text in UTF-16", "save it as UTF-8, e.g. with: iconv -f UTF-16 -t UTF-8 key.txt > key.pem")
            }
            _ => ("not a key in any form known here", "give the PEM file of an RSA private key"),
        }
    }
}

impl fmt::Display for UnsupportedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, next) = self.words();
        write!(f, "this is {what}: {next}")
    }
}

impl std::error::Error for UnsupportedKey {}
