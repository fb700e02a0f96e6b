//! The certificate, which may change while the server runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Where a server's certificate is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// The certificate and those of its issuers, in PEM; the server's own first.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// A certificate that is read again when its files change.
#[derive(Debug)]
pub(super) struct Certificate {
    options: TlsOptions,
    present: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads the files.
    pub(super) fn open(options: &TlsOptions) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            options: options.clone(),
            present: RwLock::new(Arc::new(read(options)?)),
        }))
    }

    /// Takes connections with what this is at the time.
    pub(super) fn acceptor(self: &Arc<Self>) -> io::Result<TlsAcceptor> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let mut config = config.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files again whenever they have changed.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        let mut known = self.changed_at();
        loop {
            tokio::time::sleep(LOOK).await;
            let found = self.changed_at();
            if found == known {
                continue;
            }
            let options = self.options.clone();
            let read = tokio::task::spawn_blocking(move || read(&options)).await;
            match read.map_err(io::Error::other).flatten() {
                Ok(fresh) => {
                    *self.present.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                    tracing::info!("the certificate has changed");
                }
                // Half of a pair may be written yet: the next change is looked at again.
                Err(error) => {
                    tracing::error!(%error, "the new certificate cannot be used; the old one stays");
                }
            }
            known = found;
        }
    }

    fn changed_at(&self) -> [Option<SystemTime>; 2] {
        let of = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
        [of(&self.options.certificate), of(&self.options.key)]
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.present.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn read(options: &TlsOptions) -> io::Result<CertifiedKey> {
    let wrong = |path: &Path, why: String| {
        let text = format!("{} cannot be used: {why}", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let certificates = CertificateDer::pem_file_iter(&options.certificate)
        .and_then(|found| found.collect::<Result<Vec<_>, _>>())
        .map_err(|error| wrong(&options.certificate, error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong(&options.certificate, "it has no certificate in PEM".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&options.key).map_err(|error| wrong(&options.key, error.to_string()))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(certificates, key, &provider).map_err(|error| {
        wrong(
            &options.key,
            format!("{error}; is it the key of {}?", options.certificate.display()),
        )
    })
}
