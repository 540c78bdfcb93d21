//! Our own certificate and key, read again from time to time: who issues them for hours must not have to restart us.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SignatureScheme};
use throughline_component::ConfigError;
use throughline_config::{Duration, Secret};

use super::{Result, certificates, pem, provider};
use crate::FileReloader;

/// Where a certificate and its key are found.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) cert_file: Option<PathBuf>,
    pub(super) cert_pem: Option<String>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) key_pem: Option<Secret>,
}

impl Source {
    /// Whether neither half is given.
    fn is_empty(&self) -> bool {
        let Self { cert_file, cert_pem, key_file, key_pem } = self;
        cert_file.is_none() && cert_pem.is_none() && key_file.is_none() && key_pem.is_none()
    }

    /// The pair.
    fn read(&self) -> Result<Arc<CertifiedKey>> {
        let chain = pem("cert", self.cert_file.as_ref(), self.cert_pem.as_deref())?;
        let key = pem("key", self.key_file.as_ref(), self.key_pem.as_ref().map(Secret::expose))?;
        let chain = chain.ok_or_else(|| ConfigError::new("cert_file", "a key needs its certificate"))?;
        let key = key.ok_or_else(|| ConfigError::new("key_file", "a certificate needs its key"))?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|_| ConfigError::here("key_file", "there is no private key in it (PEM expected)"))?;
        let chain = certificates(&chain, "cert_file")?;
        let pair = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                ConfigError::here("key_file", "it is not the key of the certificate")
            }
            error => ConfigError::here("cert_file", error.to_string()),
        })?;
        Ok(Arc::new(pair))
    }
}

/// What we show to peers. The files are small, and a handshake costs more than reading them does.
pub(super) struct Identity(FileReloader<Arc<CertifiedKey>>);

impl Identity {
    /// Reads the pair for the first time; none if the settings name none.
    pub(super) fn new(source: Source, reload_interval: Option<Duration>) -> Result<Option<Self>> {
        if source.is_empty() {
            return Ok(None);
        }
        let interval = reload_interval.map(Duration::get).filter(|interval| !interval.is_zero());
        FileReloader::new(interval, move || source.read()).map(|pair| Some(Self(pair)))
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.current())
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}
