//! Who calls, and who may call a workload.

use std::sync::Arc;

use http::HeaderValue;

/// The annotation of a workload that names the namespaces of its callers, separated by commas, or `*`.
pub const CALLERS: &str = "parkade.dev/callers";

/// What a token proves: the namespaces that its bearer speaks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    /// None for a user who is no service account.
    namespaces: Vec<Arc<str>>,
}

/// Whose requests a workload takes beside those of its own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Callers {
    /// Nobody else's.
    #[default]
    Own,
    /// Of these namespaces too.
    Named(Vec<String>),
    /// Of everybody who is known.
    Everybody,
}

impl Identity {
    /// Somebody who speaks for these namespaces.
    pub fn of<T: Into<Arc<str>>>(namespaces: impl IntoIterator<Item = T>) -> Self {
        Self { namespaces: namespaces.into_iter().map(Into::into).collect() }
    }

    /// The user of a Kubernetes token; `system:serviceaccount:NAMESPACE:NAME` speaks for its namespace.
    pub fn of_user(name: &str) -> Self {
        let account = name.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':'));
        Self::of(account.map(|(namespace, _)| namespace))
    }

    /// The namespace whose quota its requests take, which is the first one that it speaks for.
    pub fn namespace(&self) -> Option<&str> {
        self.namespaces.first().map(|namespace| &**namespace)
    }

    /// Whether it may call a workload of namespace `own`.
    pub fn may_call(&self, own: &str, callers: &Callers) -> bool {
        let speaks_for = |name: &str| self.namespaces.iter().any(|namespace| **namespace == *name);
        match callers {
            Callers::Everybody => true,
            Callers::Own => speaks_for(own),
            Callers::Named(names) => speaks_for(own) || names.iter().any(|name| speaks_for(name)),
        }
    }
}

impl Callers {
    /// Reads the annotation.
    pub fn read(text: &str) -> Self {
        let names: Vec<String> =
            text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect();
        match names[..] {
            [] => Self::Own,
            _ if names.iter().any(|name| name == "*") => Self::Everybody,
            _ => Self::Named(names),
        }
    }
}

/// The token in `Authorization: Bearer TOKEN`.
pub fn bearer(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ')).then_some(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::{Callers, Identity, bearer};

    #[test]
    fn a_service_account_speaks_for_its_namespace() {
        assert_eq!(Identity::of_user("system:serviceaccount:vision:camera"), Identity::of(["vision"]));
        for name in ["kubernetes-admin", "system:serviceaccount:vision", "system:node:a", ""] {
            assert_eq!(Identity::of_user(name).namespace(), None, "{name}");
        }
    }

    #[test]
    fn who_may_call() {
        let (vision, nobody) = (Identity::of(["vision"]), Identity::of::<&str>([]));
        let both = Identity::of(["vision", "maps"]);
        for (annotation, own, caller, may) in [
            ("", "vision", &vision, true),
            ("", "maps", &vision, false),
            ("", "maps", &both, true),
            ("maps", "vision", &vision, true),
            ("radio, vision,", "maps", &vision, true),
            ("radio", "maps", &vision, false),
            ("visio", "maps", &vision, false),
            ("vision", "maps", &nobody, false),
            ("", "", &nobody, false),
            ("*", "maps", &nobody, true),
            ("radio,*", "maps", &vision, true),
        ] {
            assert_eq!(caller.may_call(own, &Callers::read(annotation)), may, "{annotation:?} {own} {caller:?}");
        }
    }

    #[test]
    fn tokens_in_headers() {
        let read = |text: &'static str| bearer(&HeaderValue::from_static(text)).map(str::to_owned);
        assert_eq!(read("Bearer abc.d"), Some("abc.d".to_owned()));
        assert_eq!(read("bearer  abc"), Some("abc".to_owned()));
        for bad in ["Bearer", "Bearer ", "Basic YQ==", "abc", "Bearer a b", ""] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
