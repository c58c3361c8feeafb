//! The options of TLS: a certificate out of files, or out of an authority that speaks ACME.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::units;

/// Answering by https.
#[derive(Debug, Args)]
pub(crate) struct TlsArguments {
    /// Answer by https, with this certificate: the server's own and behind it those of the authorities, in PEM. Read again
    /// when it has changed, and on SIGHUP
    #[arg(long, value_name = "FILE", env = "ORRERY_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, in PEM
    #[arg(long, value_name = "FILE", env = "ORRERY_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Answer by https, with a certificate for these names (separated by commas, or given again) that is got from Let's Encrypt and
    /// renewed by itself. Port 443 of each must lead to --bind. Needs --tls-accept-terms
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        value_parser = units::parse_domain,
        env = "ORRERY_TLS_DOMAIN"
    )]
    pub(crate) tls_domain: Vec<String>,
    /// You have read the terms of service of the authority and agree: of Let's Encrypt, https://letsencrypt.org/repository/
    #[arg(long, env = "ORRERY_TLS_ACCEPT_TERMS")]
    pub(crate) tls_accept_terms: bool,
    /// A mail address to which the authority may write [default: none]
    #[arg(long, value_name = "EMAIL", env = "ORRERY_TLS_CONTACT")]
    pub(crate) tls_contact: Option<String>,
    /// The authority: production or staging of Let's Encrypt (staging: to try things out, trusted by nobody), or the https address of
    /// another one's ACME directory
    #[arg(
        long,
        value_name = "URL",
        default_value = "production",
        env = "ORRERY_TLS_DIRECTORY"
    )]
    pub(crate) tls_directory: String,
    /// Roots in PEM by which the authority's own server is trusted: for an authority of one's own [default: those of the web]
    #[arg(long, value_name = "FILE", env = "ORRERY_TLS_DIRECTORY_CA")]
    pub(crate) tls_directory_ca: Option<PathBuf>,
    /// Where the account's key and the certificate are kept, outside of the data directory [default: beside it, its name with .tls]
    #[arg(long, value_name = "DIR", env = "ORRERY_TLS_CACHE")]
    pub(crate) tls_cache: Option<PathBuf>,
    /// With TLS: answer on this address by plain HTTP that all is to be had by https, such as 0.0.0.0:80 [default: off]
    #[arg(long, value_name = "ADDR:PORT", value_parser = units::parse_address, env = "ORRERY_BIND_HTTP")]
    pub(crate) bind_http: Option<SocketAddr>,
}
