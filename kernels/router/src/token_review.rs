//! Tokens of Kubernetes, checked by the API server's `TokenReview`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::get_current_timestamp;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::Deserialize;
use tracing::{info, warn};

use crate::callers::Identity;
use crate::verdicts::Answer;

/// Asks the API server.
#[derive(Debug)]
pub struct Reviews {
    api: Api<TokenReview>,
    audience: Arc<str>,
    /// Whether the last review came through, so that an outage is one line in the log.
    answers: AtomicBool,
}

impl Reviews {
    /// Reviews of tokens for one audience.
    pub fn new(client: Client, audience: Arc<str>) -> Self {
        Self { api: Api::all(client), audience, answers: AtomicBool::new(true) }
    }

    /// Whose token it is. The caller bounds the time.
    pub async fn check(&self, token: &str) -> Answer {
        let spec =
            TokenReviewSpec { token: token.to_owned(), audiences: Some(vec![self.audience.as_ref().to_owned()]) };
        let review = TokenReview { spec, ..TokenReview::default() };
        match self.api.create(&PostParams::default(), &review).await {
            Ok(review) => {
                if !self.answers.swap(true, Ordering::Relaxed) {
                    info!("the API server reviews tokens again");
                }
                judge(review.status.unwrap_or_default(), &self.audience, || lives(token))
            }
            Err(error) => {
                if self.answers.swap(false, Ordering::Relaxed) {
                    warn!(
                        "the API server reviews no token: {error}; callers it vouched for are served on. The router's \
                         service account needs `create` on tokenreviews.authentication.k8s.io"
                    );
                }
                Answer::Away
            }
        }
    }
}

fn judge(status: TokenReviewStatus, audience: &str, lives: impl FnOnce() -> Option<Duration>) -> Answer {
    if status.authenticated != Some(true) {
        return Answer::Bad(
            "the token is not one that the Kubernetes API server knows for this audience, or it expired",
        );
    }
    // An API server that does not know of audiences says nothing of them; its word would count for any audience.
    if !status.audiences.is_some_and(|audiences| audiences.iter().any(|it| it == audience)) {
        return Answer::Bad("the token is for another audience");
    }
    let user = status.user.and_then(|user| user.username).unwrap_or_default();
    Answer::Good(Arc::new(Identity::of_user(&user)), lives())
}

/// How long a token lives that the API server vouched for; `None` for one that is no JWT.
fn lives(token: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let claims: Claims = insecure_decode_claims(token).ok()?;
    Some(Duration::from_secs(claims.exp.saturating_sub(get_current_timestamp())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};

    use super::{judge, lives};
    use crate::callers::Identity;
    use crate::verdicts::Answer;

    fn status(authenticated: bool, audiences: Option<&str>) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated: Some(authenticated),
            audiences: audiences.map(|audience| vec![audience.to_owned()]),
            user: Some(UserInfo { username: Some("system:serviceaccount:a:b".into()), ..UserInfo::default() }),
            error: None,
        }
    }

    #[test]
    fn only_a_review_for_this_audience_counts() {
        let life = Some(Duration::from_secs(9));
        let Answer::Good(identity, lives) = judge(status(true, Some("parkade")), "parkade", || life) else { panic!() };
        assert_eq!((&*identity, lives), (&Identity::of(["a"]), life));
        for bad in [
            status(false, Some("parkade")),
            status(true, Some("other")),
            status(true, None),
            TokenReviewStatus::default(),
        ] {
            assert!(matches!(judge(bad, "parkade", || life), Answer::Bad(_)));
        }
    }

    #[test]
    fn an_opaque_token_has_no_known_end() {
        assert_eq!(lives("opaque"), None);
        assert_eq!(lives("e30.eyJleHAiOjF9.c2ln"), Some(Duration::ZERO));
    }
}
