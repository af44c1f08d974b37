//! Mutual TLS of cars and of routers among each other: one authority signed all certificates, and a URI in each says who it is.
//!
//! Routers are reached by addresses that change with every pod, so a router's certificate is known by its URI
//! `parkade://router/<name>`, not by a host name.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio_rustls::TlsAcceptor;

/// The start of the URI in a router's certificate.
const ROUTER: &str = "parkade://router/";
/// HTTP/2, as TLS names it.
const H2: &[u8] = b"h2";

/// PEM files: the authority, this router's certificate, and its key.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// Certificate of the authority.
    pub ca: &'a Path,
    /// This router's certificate, intermediates after it.
    pub cert: &'a Path,
    /// Its key.
    pub key: &'a Path,
}

impl Files<'_> {
    /// For the listener of cars.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn for_cars(self) -> Result<TlsAcceptor, String> {
        Ok(TlsAcceptor::from(Arc::new(self.server()?)))
    }

    /// For the listener of other routers, and for dialling them.
    ///
    /// # Errors
    /// As `for_cars`; also a certificate that other routers would refuse.
    pub fn for_routers(self) -> Result<(TlsAcceptor, Arc<ClientConfig>), String> {
        let chain = chain(self.cert)?;
        if !chain.first().is_some_and(is_router) {
            let cert = self.cert.display();
            return Err(format!(
                "{cert}: it has no URI name {ROUTER}<name>, by which routers know each other; issue it with one, or \
                 leave --peers-listen out"
            ));
        }
        let mut server = self.server()?;
        server.alpn_protocols = vec![H2.to_vec()];
        let verifier = RouterVerifier {
            roots: self.roots()?,
            algorithms: ring::default_provider().signature_verification_algorithms,
        };
        let mut client = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(chain, self.key()?)
            .map_err(|error| self.do_not_fit(&error))?;
        client.alpn_protocols = vec![H2.to_vec()];
        Ok((TlsAcceptor::from(Arc::new(server)), Arc::new(client)))
    }

    fn server(self) -> Result<ServerConfig, String> {
        let verifier = WebPkiClientVerifier::builder(Arc::new(self.roots()?))
            .build()
            .map_err(|error| unreadable(self.ca, &error))?;
        let mut config = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain(self.cert)?, self.key()?)
            .map_err(|error| self.do_not_fit(&error))?;
        // Tickets spare whoever comes back most of a handshake.
        config.ticketer = ring::Ticketer::new().map_err(|error| error.to_string())?;
        Ok(config)
    }

    fn roots(self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        for root in chain(self.ca)? {
            roots.add(root).map_err(|error| unreadable(self.ca, &error))?;
        }
        Ok(roots)
    }

    fn key(self) -> Result<PrivateKeyDer<'static>, String> {
        PrivateKeyDer::from_pem_file(self.key).map_err(|error| unreadable(self.key, &error))
    }

    fn do_not_fit(self, error: &Error) -> String {
        format!("{} and {} do not fit: {error}", self.cert.display(), self.key.display())
    }
}

/// Whether a certificate, which a handshake verified, is a router's.
pub fn is_router(certificate: &CertificateDer<'_>) -> bool {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return false };
    certificate.valid_uri_names().any(|uri| uri.strip_prefix(ROUTER).is_some_and(|name| !name.is_empty()))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}; give a PEM file", path.display())
}

/// Takes any router of the same authority, whatever its address.
#[derive(Debug)]
struct RouterVerifier {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for RouterVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, self.algorithms.all)?;
        if is_router(certificate) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::NotValidForName))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
