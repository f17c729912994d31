//! An OpenID provider on a loopback address: its discovery document, its key set, and tokens that it signs.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{self, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256},
};
use axum::{Json, Router, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// Audience of the tokens.
pub const AUDIENCE: &str = "our-client";

/// A provider; its server ends with the test's runtime.
pub struct OidcProvider {
    pub issuer: String,
    rsa: rsa::KeyPair,
    ec: EcdsaKeyPair,
}

impl OidcProvider {
    pub async fn start() -> Self {
        let rsa = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let keys = json!({ "keys": [rsa_jwk(&rsa), ec_jwk(&ec)] });
        let discovery = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/jwks.json") });
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(|| async { Json(discovery) }))
            .route("/jwks.json", get(|| async { Json(keys) }));
        tokio::spawn(async { axum::serve(listener, routes).await });
        Self { issuer, rsa, ec }
    }

    /// A `sign_in` of an app that accepts this provider's tokens.
    pub fn config(&self, app: &str) -> String {
        format!(
            "\n[[apps.{app}.sign_in]]\nkind = \"oidc\"\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\nalgorithms = [\"RS256\", \"ES256\"]\n",
            self.issuer
        )
    }

    /// Claims of an ID token of an hour.
    pub fn claims(&self, user: &str, now_seconds: i64) -> Value {
        json!({ "iss": self.issuer, "aud": AUDIENCE, "sub": user, "iat": now_seconds, "exp": now_seconds + 3600 })
    }

    /// An RS256 token.
    pub fn rs256(&self, claims: &Value) -> String {
        let input = signing_input("RS256", "rsa", claims);
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        self.rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// An ES256 token.
    pub fn es256(&self, claims: &Value) -> String {
        let input = signing_input("ES256", "ec", claims);
        let signature = self.ec.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn signing_input(algorithm: &str, kid: &str, claims: &Value) -> String {
    let header = json!({ "alg": algorithm, "typ": "JWT", "kid": kid });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(&header), part(claims))
}

fn rsa_jwk(key: &rsa::KeyPair) -> Value {
    use ::rsa::{pkcs1::DecodeRsaPublicKey, traits::PublicKeyParts};
    let public = ::rsa::PublicKey::from_pkcs1_der(key.public_key().as_ref()).unwrap();
    let number = |bytes: Box<[u8]>| URL_SAFE_NO_PAD.encode(bytes);
    let (n, e) = (number(public.n().to_be_bytes_trimmed_vartime()), number(public.e().to_be_bytes_trimmed_vartime()));
    json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "rsa", "n": n, "e": e })
}

fn ec_jwk(key: &EcdsaKeyPair) -> Value {
    // An uncompressed point (SEC 1 §2.3.3).
    let point = key.public_key().as_ref();
    let (x, y) = point[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "ec", "x": x, "y": y })
}
