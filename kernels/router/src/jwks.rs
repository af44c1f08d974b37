//! The issuer's public keys: a JWK set from a file or an https address, read again in time.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::files;

/// Keys from an address are read again this often...
const PERIOD: Duration = Duration::from_secs(300);
/// ...and when a token names a key that is not there, or reading failed, no sooner than this after the last try.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// One reading may take this long.
const FETCH: Duration = Duration::from_secs(5);
/// Bytes of a key set at most.
const LARGEST: usize = 1 << 20;
/// Keys of a set that are looked at.
const MOST: usize = 64;

type Https = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// One public key for one algorithm.
#[derive(Debug)]
pub struct Key {
    /// Its name in the header of tokens.
    pub id: Option<String>,
    /// What it verifies.
    pub algorithm: Algorithm,
    /// The key itself.
    pub public: DecodingKey,
}

/// The issuer's keys as last read.
#[derive(Debug)]
pub struct Keys {
    known: RwLock<Option<Arc<[Key]>>>,
    address: Option<Address>,
}

/// Where keys are fetched.
#[derive(Debug)]
struct Address {
    uri: Uri,
    client: Https,
    tried: Mutex<Option<Instant>>,
}

impl Keys {
    /// Keys in a file, or at an https address.
    ///
    /// # Errors
    /// A sentence: the file cannot be read, or the address is not one of https.
    pub fn open(source: &str) -> Result<Arc<Self>, String> {
        let named = |sentence: String| format!("--jwks {source}: {sentence}");
        if source.contains("://") {
            let uri: Uri = source.parse().map_err(|error| named(format!("not an address: {error}")))?;
            if uri.scheme_str() != Some("https") {
                return Err(named("keys must come over https or from a file".to_owned()));
            }
            let client = https().map_err(|error| named(format!("no authorities are trusted: {error}")))?;
            let address = Address { uri, client, tried: Mutex::new(None) };
            let keys = Arc::new(Self { known: RwLock::new(None), address: Some(address) });
            tokio::spawn(keep(keys.clone()));
            return Ok(keys);
        }
        let path = PathBuf::from(source);
        let bytes = std::fs::read(&path).map_err(|error| named(format!("{error}; give a file that can be read")))?;
        let keys = Arc::new(Self { known: RwLock::new(Some(read(&bytes).map_err(named)?)), address: None });
        let following = keys.clone();
        tokio::spawn(files::follow(path, move |bytes| {
            following.learn(read(bytes)?);
            Ok(())
        }));
        Ok(keys)
    }

    /// The keys; `None` if none were ever read.
    pub fn known(&self) -> Option<Arc<[Key]>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, keys: Arc<[Key]>) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(keys);
    }

    /// Reads the keys again, unless that was tried just now.
    pub async fn read_again(&self) {
        let Some(address) = &self.address else { return };
        let mut tried = address.tried.lock().await;
        if tried.is_some_and(|at| at.elapsed() < TRY_AGAIN) {
            return;
        }
        *tried = Some(Instant::now());
        let fetched = tokio::time::timeout(FETCH, address.fetch()).await;
        match fetched.unwrap_or_else(|_| Err(format!("no answer within {} s", FETCH.as_secs()))) {
            Ok(keys) => {
                if self.known().is_none() {
                    info!(keys = keys.len(), "the issuer's keys are known");
                }
                self.learn(keys);
            }
            Err(sentence) => warn!("--jwks {}: {sentence}; keys known before stay", address.uri),
        }
    }
}

/// Reads keys from an address in time, for ever.
async fn keep(keys: Arc<Keys>) {
    loop {
        keys.read_again().await;
        tokio::time::sleep(if keys.known().is_some() { PERIOD } else { TRY_AGAIN }).await;
    }
}

fn https() -> std::io::Result<Https> {
    let provider = rustls::crypto::ring::default_provider();
    let connector =
        HttpsConnectorBuilder::new().with_provider_and_native_roots(provider)?.https_only().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_max_idle_per_host(0).build(connector))
}

impl Address {
    async fn fetch(&self) -> Result<Arc<[Key]>, String> {
        let response = self.client.get(self.uri.clone()).await.map_err(|error| said(&error))?;
        if !response.status().is_success() {
            return Err(format!("the answer is {}", response.status()));
        }
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        read(&body.map_err(|error| error.to_string())?.to_bytes())
    }
}

/// An error with what is behind it, which for TLS is the only part that says what to do.
fn said(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The keys of a set that verify RS256, ES256 or `EdDSA`.
fn read(bytes: &[u8]) -> Result<Arc<[Key]>, String> {
    let set: JwkSet = serde_json::from_slice(bytes).map_err(|error| format!("not a JWK set: {error}"))?;
    let keys: Arc<[Key]> = set.keys.into_iter().take(MOST).filter_map(|jwk| key(&jwk)).collect();
    if keys.is_empty() {
        return Err("the JWK set has no key for RS256, ES256 or EdDSA".to_owned());
    }
    Ok(keys)
}

fn key(jwk: &Jwk) -> Option<Key> {
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
    let fits = jwk.common.key_algorithm.is_none_or(|it| it == named);
    let public = DecodingKey::from_jwk(jwk).ok()?;
    (signs && fits).then(|| Key { id: jwk.common.key_id.clone(), algorithm, public })
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;
    use serde_json::json;

    use super::read;

    #[test]
    fn only_keys_that_may_verify_are_taken() {
        let ec = json!({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"});
        let with = |name: &str, value: &str| {
            let mut key = ec.clone();
            key[name] = json!(value);
            key
        };
        let set = json!({"keys": [
            with("kid", "good"),
            with("use", "enc"),
            with("alg", "ES384"),
            with("crv", "P-384"),
            {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
            {"kty": "XYZ"},
            {"kty": "OKP", "crv": "Ed25519", "x": "AQ", "alg": "EdDSA"},
            {"kty": "RSA", "n": "AQ", "e": "AQAB", "use": "sig"},
        ]});
        let keys = read(set.to_string().as_bytes()).unwrap();
        let algorithms: Vec<_> = keys.iter().map(|key| key.algorithm).collect();
        assert_eq!(algorithms, [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256]);
        assert_eq!(keys[0].id.as_deref(), Some("good"));
    }

    #[test]
    fn a_set_without_a_key_is_refused() {
        for text in ["", "{}", r#"{"keys": []}"#, r#"{"keys": [{"kty": "oct", "k": "AQ"}]}"#] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
