//! TLS settings, made into rustls configurations.

mod identity;
mod unverified;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_component::ConfigError;
use throughline_config::{Duration, Secret, reasons};

use identity::{Identity, Source};

/// How a server speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-not-supported" = reasons(&[
    ("cipher_suites", "`min_version: \"1.3\"` leaves out the older ones; none of those offered is weak"),
    ("client_ca_file_reload", "SIGHUP reads the authorities again"),
    ("curve_preferences", "leave it out: X25519, P-256 and P-384 are offered"),
    ("tpm", "give the key as a file"),
    ("max_version", "leave it out: the newest that both sides speak is used"),
])))]
pub struct ServerTls {
    /// Certificate chain, PEM.
    pub cert_file: Option<PathBuf>,
    /// The PEM text itself, instead of a file.
    pub cert_pem: Option<String>,
    /// Private key, PEM.
    pub key_file: Option<PathBuf>,
    /// The PEM text itself, instead of a file.
    pub key_pem: Option<Secret>,
    /// Authorities whose client certificates are accepted. Set: clients must show one (mTLS).
    pub client_ca_file: Option<PathBuf>,
    /// How often certificate and key are read again, at the next handshake. If they cannot be used, the old ones
    /// stay in use. Unset: only a reload of the configuration reads them again.
    pub reload_interval: Option<Duration>,
    /// `1.2` or `1.3`.
    pub min_version: Option<TlsVersion>,
}

/// How a client speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-not-supported" = reasons(&[
    ("cipher_suites", "`min_version: \"1.3\"` leaves out the older ones; none of those offered is weak"),
    ("curve_preferences", "leave it out: X25519, P-256 and P-384 are offered"),
    ("tpm", "give the key as a file"),
    ("max_version", "leave it out: the newest that both sides speak is used"),
])))]
pub struct ClientTls {
    /// Speaks plain text. Only for addresses without a scheme, and for gRPC.
    pub insecure: bool,
    /// Authorities to trust, PEM. Unset: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The PEM text itself, instead of a file.
    pub ca_pem: Option<String>,
    /// Trusts the system's authorities beside `ca_file`.
    pub include_system_ca_certs_pool: bool,
    /// Our certificate chain, PEM, for mutual TLS.
    pub cert_file: Option<PathBuf>,
    /// The PEM text itself, instead of a file.
    pub cert_pem: Option<String>,
    /// Our private key, PEM.
    pub key_file: Option<PathBuf>,
    /// The PEM text itself, instead of a file.
    pub key_pem: Option<Secret>,
    /// How often our certificate and key are read again, at the next handshake. If they cannot be used, the old
    /// ones stay in use. Unset: only a reload of the configuration reads them again.
    pub reload_interval: Option<Duration>,
    /// The name to expect in the server's certificate, if it is not the address's.
    pub server_name_override: Option<String>,
    /// `1.2` or `1.3`.
    pub min_version: Option<TlsVersion>,
    /// Accepts any certificate. Anybody between the agent and the server can then read everything, credentials
    /// included.
    #[schemars(extend("x-said-when-true" = "certificates are NOT verified: whoever is in between reads everything"))]
    pub insecure_skip_verify: bool,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    V12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V13,
}

type Result<T> = std::result::Result<T, ConfigError>;

fn versions(min: Option<TlsVersion>) -> &'static [&'static rustls::SupportedProtocolVersion] {
    static ONLY_13: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
    if min == Some(TlsVersion::V13) { &ONLY_13 } else { rustls::ALL_VERSIONS }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl ServerTls {
    /// The rustls configuration; offers HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// Which file or block is missing or wrong.
    pub(crate) fn config(&self) -> Result<Arc<ServerConfig>> {
        let identity = Identity::new(self.source(), self.reload_interval)?
            .ok_or_else(|| ConfigError::new("cert_file", "a TLS server needs a certificate and a key"))?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(self.min_version))
            .map_err(|error| ConfigError::new("min_version", error.to_string()))?;
        let builder = match &self.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let text = pem("client_ca", Some(file), None)?.unwrap_or_default();
                let roots = Arc::new(roots(&text, "client_ca_file")?);
                let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider())
                    .build()
                    .map_err(|error| ConfigError::new("client_ca_file", error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(identity));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn source(&self) -> Source {
        Source {
            cert_file: self.cert_file.clone(),
            cert_pem: self.cert_pem.clone(),
            key_file: self.key_file.clone(),
            key_pem: self.key_pem.clone(),
        }
    }
}

impl ClientTls {
    /// The rustls configuration, without ALPN: the client asks for the protocol it speaks.
    ///
    /// # Errors
    /// Which file or block is missing or wrong.
    pub(crate) fn config(&self) -> Result<ClientConfig> {
        let mut trusted = RootCertStore::empty();
        let own = pem("ca", self.ca_file.as_ref(), self.ca_pem.as_deref())?;
        if let Some(own) = &own {
            trusted = roots(own, "ca_file")?;
        }
        if own.is_none() || self.include_system_ca_certs_pool {
            trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(self.min_version))
            .map_err(|error| ConfigError::new("min_version", error.to_string()))?;
        let builder = if self.insecure_skip_verify {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(unverified::Anybody::new(provider())))
        } else {
            builder.with_root_certificates(trusted)
        };
        Ok(match Identity::new(self.source(), self.reload_interval)? {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(Arc::new(identity)),
        })
    }

    fn source(&self) -> Source {
        Source {
            cert_file: self.cert_file.clone(),
            cert_pem: self.cert_pem.clone(),
            key_file: self.key_file.clone(),
            key_pem: self.key_pem.clone(),
        }
    }

    /// The name to verify, if it is not the address's.
    pub(crate) fn server_name(&self) -> Result<Option<ServerName<'static>>> {
        let Some(name) = &self.server_name_override else { return Ok(None) };
        let name = ServerName::try_from(name.clone());
        name.map(Some).map_err(|error| ConfigError::new("server_name_override", error.to_string()))
    }
}

/// The PEM text of `{what}_file` or `{what}_pem`, whichever is given.
fn pem(what: &str, file: Option<&PathBuf>, inline: Option<&str>) -> Result<Option<Vec<u8>>> {
    let key = format!("{what}_file");
    match (file, inline) {
        (Some(_), Some(_)) => {
            Err(ConfigError::new(&key, format!("give `{what}_file` or `{what}_pem`, not both")))
        }
        (None, inline) => Ok(inline.map(|text| text.as_bytes().to_vec())),
        (Some(path), None) => std::fs::read(path)
            .map(Some)
            .map_err(|error| ConfigError::here(&key, format!("cannot read {}: {error}", path.display()))),
    }
}

fn certificates(text: &[u8], key: &str) -> Result<Vec<CertificateDer<'static>>> {
    let parsed: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match parsed {
        Ok(list) if !list.is_empty() => Ok(list),
        Ok(_) => Err(ConfigError::here(key, "there is no certificate in it (PEM expected)")),
        Err(error) => Err(ConfigError::here(key, format!("not a PEM certificate: {error}"))),
    }
}

fn roots(text: &[u8], key: &str) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(text, key)? {
        store.add(certificate).map_err(|error| ConfigError::here(key, error.to_string()))?;
    }
    Ok(store)
}
