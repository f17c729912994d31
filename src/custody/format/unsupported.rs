//! Names of everything that people give instead of an RSA private key in PEM, each with the next step.

use std::fmt;

/// Input that is not an RSA private key in PEM. `Display` names it and the next step, and never shows its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsupportedKey {
    /// Empty, or white space only.
    Empty,
    /// Larger than 64 KiB.
    TooLarge,
    /// Public key: SPKI, PKCS#1 or OpenSSH.
    PublicKey,
    /// X.509 certificate.
    Certificate,
    /// Certificate request (PKCS#10).
    CertificateRequest,
    /// Elliptic curve key: SEC1 or PKCS#8.
    EcKey,
    /// Ed25519, Ed448, X25519 or X448.
    EdwardsKey,
    /// RSA key that its algorithm identifier restricts to PSS (RFC 4055 §1.2).
    RsaPss,
    DsaKey,
    /// PKCS#8 of another algorithm.
    OtherAlgorithm,
    /// Private key in OpenSSH's format.
    OpenSsh,
    /// Private key in the format of `PuTTY`.
    Putty,
    /// PGP key or message.
    Pgp,
    /// PKCS#1 under OpenSSL's old PEM encryption (RFC 1421 headers).
    LegacyEncrypted,
    /// Key in DER.
    Der,
    /// PKCS#12.
    Pkcs12,
    JavaKeystore,
    /// JSON, probably a JWK.
    Json,
    /// JSON with a PEM in it, such as a service account of a cloud.
    JsonWithPem,
    /// More than one PEM block.
    Several,
    /// PEM block with an unsupported label.
    OtherPem,
    /// BEGIN line without its END line.
    Truncated,
    /// BEGIN or END line without five hyphens on each side.
    WrongDashes,
    /// PEM whose body is not base64.
    BadBase64,
    /// PEM with line ends written as `\n`.
    EscapedNewlines,
    /// PEM that is encoded in base64 again.
    Base64OfPem,
    /// Base64 without BEGIN and END lines.
    BareBase64,
    /// UTF-16 text.
    Utf16,
    /// No known format.
    Unknown,
}

const NEEDS_RSA: &str = "Braze accepts RS256 only, which needs an RSA key; `countersign keys generate` makes one";
const GIVE_PRIVATE: &str = "give the private key that belongs to it (-----BEGIN PRIVATE KEY-----)";

impl UnsupportedKey {
    /// Name of the input with its article, e.g. `a public key`.
    pub fn name(self) -> &'static str {
        self.description().0
    }

    /// Name of the input, and the next step.
    fn description(self) -> (&'static str, &'static str) {
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
            | Self::Json
            | Self::JsonWithPem => self.other_container(),
            _ => self.damaged(),
        }
    }

    /// Name and next step of a key in another tool's format.
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
            Self::JsonWithPem => (
                "JSON that holds a PEM file",
                "take that out of it: jq -r '.. | strings | select(contains(\"-----BEGIN\"))' key.json > key.pem",
            ),
            _ => (
                "JSON (a JWK?), not PEM",
                "export the key as PEM (PKCS#8), or let `countersign keys generate` make one",
            ),
        }
    }

    /// Name and next step of damaged PEM, or of no key at all.
    fn damaged(self) -> (&'static str, &'static str) {
        match self {
            Self::Several => (
                "a file with several PEM blocks",
                "keep only the private key in it, from its BEGIN line to its END line",
            ),
            Self::OtherPem => ("a PEM file of another kind", "give an RSA private key (-----BEGIN PRIVATE KEY-----)"),
            Self::Truncated => {
                ("a PEM file without its END line", "copy it again, whole, with the -----END …----- line")
            }
            Self::WrongDashes => (
                "a PEM file whose BEGIN or END line has not five hyphens on each side",
                "write them: sed -E 's/^[^A-Z]*((BEGIN|END) [A-Z ]+)[^A-Z]*$/-----\\1-----/' key.txt > key.pem",
            ),
            Self::BadBase64 => {
                ("a key whose base64 is damaged", "copy it again as a file, not through a document or a chat")
            }
            Self::EscapedNewlines => (
                "a PEM file whose line ends are written as \\n",
                "put real line ends in, e.g. with: printf '%b' \"$(cat key.txt)\" > key.pem",
            ),
            Self::Base64OfPem => {
                ("a PEM file that is encoded in base64 again", "decode it: base64 -d key.txt > key.pem")
            }
            Self::BareBase64 => (
                "base64 without its BEGIN and END lines",
                "put -----BEGIN PRIVATE KEY----- before it and -----END PRIVATE KEY----- after it, each on a line of its own",
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
        let (what, next) = self.description();
        write!(f, "this is {what}: {next}")
    }
}

impl std::error::Error for UnsupportedKey {}
