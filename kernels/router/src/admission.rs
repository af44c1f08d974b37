//! Who is let in: callers that prove who they are, to workloads that they may call, within their quota. All of it is off
//! until it is set, and costs a request nothing then.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use kube::Client;

use crate::callers::{Identity, bearer};
use crate::errors::Refusal;
use crate::jwks::Keys;
use crate::jwt::Tokens;
use crate::quota::Quotas;
use crate::token_review::Reviews;
use crate::verdicts::{Answer, Verdict, Verdicts};
use crate::workload::Workload;
use crate::world::World;

/// How callers prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// They do not: whoever reaches the router may call.
    None,
    /// By a token that the Kubernetes API server knows.
    TokenReview,
    /// By a JWT that an issuer signed.
    Jwt,
}

/// What is let in, as flags.
#[derive(Clone, Debug, Args)]
pub struct Admission {
    /// How callers prove who they are, by a bearer token: not at all, to the Kubernetes API server, or by an issuer's signature.
    #[arg(long, env = "PARKADE_ROUTER_AUTH", value_enum, default_value = "none")]
    pub auth: Mode,
    /// The audience that callers' tokens must name.
    #[arg(long, env = "PARKADE_ROUTER_AUTH_AUDIENCE", default_value = "parkade")]
    pub auth_audience: String,
    /// With `--auth jwt`: the issuer that tokens must name.
    #[arg(long, env = "PARKADE_ROUTER_AUTH_ISSUER", required_if_eq("auth", "jwt"))]
    pub auth_issuer: Option<String>,
    /// With `--auth jwt`: the issuer's JWK set, a file or an https address.
    #[arg(long, env = "PARKADE_ROUTER_JWKS", required_if_eq("auth", "jwt"))]
    pub jwks: Option<String>,
    /// With `--auth jwt`: the claim that names the caller's namespaces, by name or as a JSON pointer; default: as Kubernetes writes it.
    #[arg(long, env = "PARKADE_ROUTER_AUTH_NAMESPACE_CLAIM", default_value = "/kubernetes.io/namespace")]
    pub auth_namespace_claim: String,
    /// A JSON or YAML file with requests per second by namespace; read again when it changes.
    #[arg(long, env = "PARKADE_ROUTER_QUOTA")]
    pub quota: Option<PathBuf>,
}

/// What is let in.
#[derive(Debug)]
pub struct Gate {
    proof: Option<Proof>,
    quotas: Option<Arc<Quotas>>,
}

#[derive(Debug)]
struct Proof {
    by: By,
    verdicts: Verdicts,
    audience: Arc<str>,
}

#[derive(Debug)]
enum By {
    TokenReview(Box<Reviews>),
    Jwt(Tokens),
}

/// What a caller showed, taken out of its headers so that no place sees it; nothing while nobody is asked.
#[derive(Debug)]
pub struct Pass(Option<HeaderValue>);

/// Who calls; nobody in particular while nobody is asked.
#[derive(Clone, Debug, Default)]
pub struct Caller(Option<Arc<Identity>>);

impl Gate {
    /// Opens the gate as the flags say.
    ///
    /// # Errors
    /// A sentence that names the flag and what is wrong with it.
    pub fn open(settings: &Admission, client: Option<Client>) -> Result<Self, String> {
        let audience: Arc<str> = settings.auth_audience.as_str().into();
        let by = match (settings.auth, client, &settings.jwks, &settings.auth_issuer) {
            (Mode::TokenReview, Some(client), ..) => {
                Some(By::TokenReview(Box::new(Reviews::new(client, audience.clone()))))
            }
            (Mode::TokenReview, None, ..) => {
                return Err("--auth token-review needs a cluster; give --kubeconfig".into());
            }
            (Mode::Jwt, _, Some(jwks), Some(issuer)) => {
                let claim = settings.auth_namespace_claim.clone();
                Some(By::Jwt(Tokens::new(Keys::open(jwks)?, issuer.clone(), audience.clone(), claim)))
            }
            (Mode::Jwt, ..) => return Err("--auth jwt needs --jwks and --auth-issuer".into()),
            (Mode::None, ..) => None,
        };
        let proof = by.map(|by| Proof { by, verdicts: Verdicts::new(), audience });
        Ok(Self { proof, quotas: settings.quota.as_deref().map(Quotas::open).transpose()? })
    }

    /// Takes what a caller shows out of its headers.
    pub fn pass(&self, headers: &mut HeaderMap) -> Pass {
        Pass(self.proof.as_ref().and_then(|_| headers.remove(AUTHORIZATION)))
    }

    async fn caller(&self, pass: &Pass) -> Result<Caller, Refusal> {
        match &self.proof {
            Some(proof) => proof.identify(pass).await.map(|identity| Caller(Some(identity))),
            None => Ok(Caller(None)),
        }
    }

    /// Whether this caller may call this workload now. Takes one request out of its quota.
    fn admit(&self, caller: &Caller, workload: &Workload) -> Result<(), Refusal> {
        if caller.0.is_none() && self.quotas.is_none() {
            return Ok(());
        }
        let own = workload.namespace();
        let named = caller.0.as_ref().and_then(|identity| identity.namespace());
        if let Some(identity) = &caller.0
            && !identity.may_call(own, &workload.rules().callers)
        {
            let namespace = named.map(str::to_owned);
            return Err(Refusal::Forbidden { workload: workload.key.to_string(), namespace });
        }
        self.quotas.as_ref().map_or(Ok(()), |quotas| quotas.admit(named.unwrap_or(own)))
    }
}

impl Proof {
    async fn identify(&self, pass: &Pass) -> Result<Arc<Identity>, Refusal> {
        let stranger = |why| Refusal::Unauthenticated { why, audience: self.audience.clone() };
        let header = pass.0.as_ref().ok_or_else(|| stranger("this router serves known callers only"))?;
        let token = bearer(header).ok_or_else(|| stranger("the header Authorization holds no bearer token"))?;
        match self.verdicts.of(token, || self.check(token)).await {
            Verdict::Good(identity) => Ok(identity),
            Verdict::Bad(why) => Err(stranger(why)),
            Verdict::Away => Err(Refusal::NoProof),
        }
    }

    async fn check(&self, token: &str) -> Answer {
        match &self.by {
            By::TokenReview(reviews) => reviews.check(token).await,
            By::Jwt(tokens) => tokens.check(token).await,
        }
    }
}

impl World {
    /// Who calls, by what it showed.
    pub async fn caller(&self, pass: &Pass) -> Result<Caller, Refusal> {
        self.gate.caller(pass).await.inspect_err(|refusal| self.metrics.refused(refusal))
    }

    /// The workload of a model name, if this caller may ask it now.
    pub fn admitted(&self, model: &str, caller: &Caller) -> Result<Arc<Workload>, Refusal> {
        let workload = self.serving(model)?;
        self.gate.admit(caller, &workload).inspect_err(|refusal| self.metrics.refused(refusal))?;
        Ok(workload)
    }
}
