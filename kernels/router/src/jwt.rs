//! Tokens that an issuer signed: JWTs checked here, with the issuer's public keys.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, get_current_timestamp};
use serde_json::Value;

use crate::callers::Identity;
use crate::jwks::{Key, Keys};
use crate::ring_verifier::PROVIDER;
use crate::verdicts::Answer;

/// Namespaces of one token at most; a claim with more is cut there.
const MOST: usize = 64;

/// Checks tokens of one issuer for one audience.
#[derive(Debug)]
pub struct Tokens {
    keys: Arc<Keys>,
    issuer: String,
    audience: Arc<str>,
    /// A JSON pointer, or the name of a claim, which holds one namespace or a list of them.
    claim: String,
}

impl Tokens {
    /// Tokens for `audience` that `issuer` signed with one of `keys`.
    pub fn new(keys: Arc<Keys>, issuer: String, audience: Arc<str>, claim: String) -> Self {
        // Only the first router of this process installs it; the others find the same one.
        let _ = PROVIDER.install_default();
        Self { keys, issuer, audience, claim }
    }

    /// Whose token it is.
    pub async fn check(&self, token: &str) -> Answer {
        let header = match decode_header(token) {
            Ok(header) if header.crit.is_none() => header,
            _ => return Answer::Bad("the token is not a JWT that this router understands"),
        };
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) {
            return Answer::Bad("the token is not signed with RS256, ES256 or EdDSA");
        }
        let mut keys = self.keys.known();
        if !keys.as_ref().is_some_and(|keys| keys.iter().any(|key| fits(key, &header))) {
            self.keys.read_again().await;
            keys = self.keys.known();
        }
        let Some(keys) = keys else { return Answer::Away };
        let mut said = Answer::Bad("the token is signed with a key that its issuer does not publish");
        for key in keys.iter().filter(|key| fits(key, &header)) {
            said = self.verify(token, key);
            if matches!(said, Answer::Good(..)) {
                break;
            }
        }
        said
    }

    fn verify(&self, token: &str, key: &Key) -> Answer {
        let mut rules = Validation::new(key.algorithm);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[&*self.audience]);
        rules.validate_nbf = true;
        let claims = match decode::<Value>(token, &key.public, &rules) {
            Ok(token) => token.claims,
            Err(error) => return Answer::Bad(why(error.kind())),
        };
        // The leeway for clocks that differ, which `exp` was granted, is granted by the cache too.
        let ends = claims["exp"].as_f64().map_or(Duration::ZERO, |exp| Duration::from_secs_f64(exp.clamp(0.0, 1e12)));
        let lives =
            (ends + Duration::from_secs(rules.leeway)).saturating_sub(Duration::from_secs(get_current_timestamp()));
        Answer::Good(Arc::new(self.identity(&claims)), Some(lives))
    }

    fn identity(&self, claims: &Value) -> Identity {
        let named = if self.claim.starts_with('/') { claims.pointer(&self.claim) } else { claims.get(&self.claim) };
        match named {
            Some(Value::String(one)) => Identity::of([one.as_str()]),
            Some(Value::Array(several)) => Identity::of(several.iter().filter_map(Value::as_str).take(MOST)),
            _ => Identity::of::<&str>([]),
        }
    }
}

/// Whether a key may have signed a token with this header; a token that names no key may be any one's.
fn fits(key: &Key, header: &Header) -> bool {
    key.algorithm == header.alg && header.kid.as_ref().is_none_or(|id| key.id.as_ref() == Some(id))
}

const fn why(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "the token expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidIssuer => "the token is from another issuer",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks one of the claims exp, iss and aud",
        ErrorKind::InvalidSignature => "the token's signature is not its issuer's",
        _ => "the token is not a JWT that this router understands",
    }
}
