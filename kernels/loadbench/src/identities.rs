//! The certificates of cars, as the benchmark's own authority issued them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

/// One connector for each `<name>.crt` with its `<name>.key` in a folder, in the order of their names.
///
/// # Errors
/// A sentence that names the file and what is wrong with it.
pub fn read(folder: &Path, ca: &Path) -> Result<Vec<TlsConnector>, String> {
    let listed = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let mut certificates: Vec<PathBuf> = listed.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    certificates.retain(|path| path.extension().is_some_and(|suffix| suffix == "crt"));
    certificates.sort();
    let mut roots = RootCertStore::empty();
    for root in chain(ca)? {
        roots.add(root).map_err(|error| unreadable(ca, &error))?;
    }
    if certificates.is_empty() {
        return Err(format!("{} has no *.crt; issue certificates there first", folder.display()));
    }
    certificates.iter().map(|path| connector(path, &roots)).collect()
}

fn connector(certificate: &Path, roots: &RootCertStore) -> Result<TlsConnector, String> {
    let path = certificate.with_extension("key");
    let key = PrivateKeyDer::from_pem_file(&path).map_err(|error| unreadable(&path, &error))?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(chain(certificate)?, key)
        .map_err(|error| unreadable(certificate, &error))?;
    Ok(TlsConnector::from(Arc::new(config)))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}; give PEM files", path.display())
}
