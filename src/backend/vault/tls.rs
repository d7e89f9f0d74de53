//! TLS to Vault: whom the engine trusts, and what it shows of itself.
//!
//! Both are read from files that are replaced while the engine runs (certificates of a private
//! authority live for days). The client and its pool of connections live as long as the store: what
//! is swapped is what the verifier and the resolver inside the TLS configuration delegate to, so new
//! handshakes see the new files and connections that stand go on.
//!
//! A file that cannot be read, or is no certificate, leaves the last good one in place; the first
//! reading must succeed.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::config::{ClientCertificate, VaultConfig};
use crate::error::ConfigErrors;

/// Files of certificates, read again when they change.
pub(super) struct Certificates {
    trust: Option<(Watched, Arc<Trust>)>,
    identity: Option<(Watched, Watched, Arc<Identity>)>,
    provider: Arc<CryptoProvider>,
}

impl Certificates {
    /// Reads the files that `config` names: they, and a TLS configuration that follows them.
    ///
    /// # Errors
    /// [`ConfigErrors`] with the field whose file is not what it must be.
    pub(super) fn load(config: &VaultConfig) -> Result<(Self, ClientConfig), ConfigErrors> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut trust = None;
        let verifier: Arc<dyn ServerCertVerifier> = match &config.ca_certificate {
            _ if config.skip_tls_verify => Arc::new(Anybody(Arc::clone(&provider))),
            Some(path) => {
                let verifier = authority(path, &provider)
                    .map_err(|problem| ConfigErrors::of("backend.vault.ca_certificate", problem))?;
                let swapped = Arc::new(Trust(ArcSwap::new(verifier)));
                trust = Some((Watched::new(path), Arc::clone(&swapped)));
                swapped
            }
            None => system(&provider)?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|_error| ConfigErrors::of("backend.vault", "has no TLS version in common"))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut identity = None;
        let mut tls = match &config.client_certificate {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let shown = certified(files, &provider).map_err(|problem| {
                    ConfigErrors::of("backend.vault.client_certificate", problem)
                })?;
                let swapped = Arc::new(Identity(ArcSwap::new(shown)));
                let (certificate, key) = (&files.certificate, &files.private_key);
                let watched = (Watched::new(certificate), Watched::new(key));
                identity = Some((watched.0, watched.1, Arc::clone(&swapped)));
                builder.with_client_cert_resolver(swapped)
            }
        };
        // One request a connection at a time: one that is given up closes its own connection, not
        // everybody's.
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((Self { trust, identity, provider }, tls))
    }

    /// Reads again what has changed since; whether anything new is in force.
    pub(super) fn reload(&mut self) -> bool {
        let mut reloaded = false;
        if let Some((file, trust)) = &mut self.trust
            && file.has_changed()
        {
            match authority(&file.path, &self.provider) {
                Ok(verifier) => {
                    trust.0.store(verifier);
                    reloaded = true;
                }
                Err(problem) => tracing::warn!(problem, "the CA certificate of Vault was kept"),
            }
        }
        if let Some((certificate, key, identity)) = &mut self.identity {
            // Each is looked at: `||` would leave the second one's mark old.
            let changed = [certificate.has_changed(), key.has_changed()];
            if changed.contains(&true) {
                let files = ClientCertificate::new(&certificate.path, &key.path);
                match certified(&files, &self.provider) {
                    Ok(shown) => {
                        identity.0.store(shown);
                        reloaded = true;
                    }
                    Err(problem) => {
                        // The other half may be on its way: looked at again next time.
                        certificate.forget();
                        tracing::warn!(problem, "the client certificate for Vault was kept");
                    }
                }
            }
        }
        reloaded
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

/// A file, and when it was last seen to change.
struct Watched {
    path: PathBuf,
    seen: Option<(SystemTime, u64, u64)>,
}

impl Watched {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: mark(path) }
    }

    fn has_changed(&mut self) -> bool {
        let now = mark(&self.path);
        // A file that is away is being replaced.
        let changed = now.is_some() && now != self.seen;
        if changed {
            self.seen = now;
        }
        changed
    }

    fn forget(&mut self) {
        self.seen = None;
    }
}

fn mark(path: &Path) -> Option<(SystemTime, u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

fn authority(
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, &'static str> {
    let mut roots = RootCertStore::empty();
    let file = CertificateDer::pem_file_iter(path).map_err(|_error| "cannot be read")?;
    for certificate in file {
        let certificate = certificate.map_err(|_error| "is not a PEM file")?;
        roots.add(certificate).map_err(|_error| "holds what is not a certificate")?;
    }
    if roots.is_empty() {
        return Err("holds no certificate");
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|_error| "holds no usable certificate")
}

fn system(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, ConfigErrors> {
    match rustls_platform_verifier::Verifier::new(Arc::clone(provider)) {
        Ok(verifier) => Ok(Arc::new(verifier)),
        Err(_error) => {
            let problem = "is missing, and the system has no certificate authorities";
            Err(ConfigErrors::of("backend.vault.ca_certificate", problem))
        }
    }
}

fn certified(
    files: &ClientCertificate,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, &'static str> {
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|_error| "names a certificate that cannot be read")?;
    let key = PrivateKeyDer::from_pem_file(&files.private_key)
        .map_err(|_error| "names a private key that cannot be read")?;
    let certified = CertifiedKey::from_der(chain, key, provider);
    certified.map(Arc::new).map_err(|_error| "names a certificate and a key that do not match")
}

/// Delegates to the authority that was read last.
struct Trust(ArcSwap<WebPkiServerVerifier>);

/// Shows what was read last.
struct Identity(ArcSwap<CertifiedKey>);

/// Takes any certificate, in development.
struct Anybody(Arc<CryptoProvider>);

macro_rules! opaque {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

opaque!(Trust, Identity, Anybody);

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verifier = self.0.load();
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.load().verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.load().verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.load().supported_verify_schemes()
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if end_entity.is_empty() {
            return Err(CertificateError::BadEncoding.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
