//! Keys of the local OpenID provider.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    error::Unspecified,
    rsa::{KeyPair, KeySize},
};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};
use pkcs8::PrivateKeyInfoRef;
use serde_json::Value;

/// Key that signs ID tokens, with RS256 as most providers do.
pub(super) struct ProviderKey {
    private: EncodingKey,
    pub(super) public: Jwk,
}

impl ProviderKey {
    pub(super) fn generate() -> Result<Self, Unspecified> {
        let pair = KeyPair::generate(KeySize::Rsa2048)?;
        let document = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair)?;
        // `jsonwebtoken` takes PKCS#1, which PKCS#8 contains.
        let info = PrivateKeyInfoRef::try_from(document.as_ref()).map_err(|_| Unspecified)?;
        let private = EncodingKey::from_rsa_der(info.private_key.as_bytes());
        let mut public = Jwk::from_encoding_key(&private, Algorithm::RS256).map_err(|_| Unspecified)?;
        public.common.key_id = public.thumbprint(ThumbprintHash::SHA256).ok();
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { private, public })
    }

    /// Signs a JWT whose header has this `typ`.
    pub(super) fn sign(&self, kind: &str, claims: &Value) -> Result<String, Unspecified> {
        let header = Header {
            typ: Some(kind.to_owned()),
            kid: self.public.common.key_id.clone(),
            ..Header::new(Algorithm::RS256)
        };
        jsonwebtoken::encode(&header, claims, &self.private).map_err(|_| Unspecified)
    }
}
