//! Our own certificate and key, read again from time to time: who issues them for hours must not have to restart us.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::ResolvesClientCert;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SignatureScheme};
use throughline_component::ConfigError;
use throughline_config::{Duration, Secret};
use tokio::time::Instant;

use super::{Result, certificates, pem, provider};

/// Where a certificate and its key are found.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) cert_file: Option<PathBuf>,
    pub(super) cert_pem: Option<String>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) key_pem: Option<Secret>,
}

impl Source {
    /// The pair; none if neither half is given.
    fn read(&self) -> Result<Option<Arc<CertifiedKey>>> {
        let chain = pem("cert", self.cert_file.as_ref(), self.cert_pem.as_deref())?;
        let key = pem("key", self.key_file.as_ref(), self.key_pem.as_ref().map(Secret::expose))?;
        let (chain, key) = match (chain, key) {
            (None, None) => return Ok(None),
            (Some(chain), Some(key)) => (chain, key),
            (Some(_), None) => return Err(ConfigError::new("key_file", "a certificate needs its key")),
            (None, Some(_)) => return Err(ConfigError::new("cert_file", "a key needs its certificate")),
        };
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|_| ConfigError::new("key_file", "there is no private key in it (PEM expected)"))?;
        let chain = certificates(&chain, "cert_file")?;
        let pair = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                ConfigError::new("key_file", "it is not the key of the certificate")
            }
            error => ConfigError::new("cert_file", error.to_string()),
        })?;
        Ok(Some(Arc::new(pair)))
    }
}

/// What we show to peers.
pub(super) struct Identity {
    source: Source,
    reload_interval: Option<std::time::Duration>,
    /// The pair in service, and when it was read.
    current: Mutex<(Arc<CertifiedKey>, Instant)>,
}

impl Identity {
    /// Reads the pair for the first time; none if the settings name none.
    pub(super) fn new(source: Source, reload_interval: Option<Duration>) -> Result<Option<Self>> {
        let Some(pair) = source.read()? else { return Ok(None) };
        let reload_interval = reload_interval.map(Duration::get).filter(|interval| !interval.is_zero());
        Ok(Some(Self { source, reload_interval, current: Mutex::new((pair, Instant::now())) }))
    }

    /// The pair in service, read again if it is time to. The files are small, and a handshake costs more than they do.
    fn current(&self) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let (pair, read) = &mut *current;
        if self.reload_interval.is_some_and(|interval| read.elapsed() >= interval) {
            // Certificate and key are replaced one after the other: what does not fit now will in a while.
            match self.source.read() {
                Ok(Some(new)) => *pair = new,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "the certificate cannot be read again; the old one stays in service");
                }
            }
            *read = Instant::now();
        }
        Arc::clone(pair)
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
        write!(f, "Identity({:?})", self.source.cert_file)
    }
}
