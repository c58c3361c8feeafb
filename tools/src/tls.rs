//! TLS as the command line has it, what is wrong with that, and SIGHUP, which has it read its files again.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use orrery_server::{AcmeSettings, CertificateFiles, LETS_ENCRYPT, LETS_ENCRYPT_STAGING, Tls};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::TlsArguments;
use crate::failure::{Failure, Result};
use crate::output;

/// What the options ask for.
enum Wanted {
    Plain,
    Files(CertificateFiles),
    Acme(AcmeSettings),
}

/// An option of which something is wrong, and what would be right.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) option: &'static str,
    pub(crate) wrong: String,
    pub(crate) right: String,
}

impl Wrong {
    fn of(option: &'static str, wrong: impl Into<String>, right: impl Into<String>) -> Self {
        let (wrong, right) = (wrong.into(), right.into());
        Self {
            option,
            wrong,
            right,
        }
    }
}

impl From<Wrong> for Failure {
    fn from(
        Wrong {
            option,
            wrong,
            right,
        }: Wrong,
    ) -> Self {
        Self::Usage(format!("--{option}: {wrong}; {right}"))
    }
}

/// How to speak TLS beside the data directory `data`; `None`: not at all.
///
/// # Errors
///
/// [`Failure::Usage`] for options that make no sense together, [`Failure::Server`] for files that cannot be used.
pub(crate) fn of(arguments: &TlsArguments, data: &Path) -> Result<Option<Tls>> {
    Ok(match wanted(arguments, data)? {
        Wanted::Plain => None,
        Wanted::Files(files) => Some(Tls::from_files(files)?),
        Wanted::Acme(settings) => Some(Tls::by_acme(settings)?),
    })
}

/// What is wrong with the options together. Nothing is opened for it, and nothing made. What rests on an option that `is_unknown` is left
/// out: it may be gone when that is put right.
pub(crate) fn wrong_options(
    arguments: &TlsArguments,
    data: &Path,
    is_unknown: impl Fn(&str) -> bool,
) -> Vec<Wrong> {
    let found = found(arguments, data);
    let known = found
        .into_iter()
        .filter(|found| !found.rests_on.iter().any(|name| is_unknown(name)));
    known.map(|found| found.wrong).collect()
}

/// What is wrong with the certificate and its key, which are read for it, where both are named.
pub(crate) fn wrong_files(arguments: &TlsArguments) -> Option<Wrong> {
    let (certificate, key) = (arguments.tls_cert.clone()?, arguments.tls_key.clone()?);
    let error = CertificateFiles::new(certificate, key.clone())
        .check()
        .err()?;
    let option = match &error {
        orrery_server::Error::TlsFile { path, .. } if *path == key => "tls-key",
        _ => "tls-cert",
    };
    let right = "both have to be in PEM, and of the same pair";
    Some(Wrong::of(option, error.to_string(), right))
}

/// What is wrong, and the options of which another value might put it right.
struct Found {
    wrong: Wrong,
    rests_on: &'static [&'static str],
}

/// All that is wrong with the options together, each thing for itself.
fn found(arguments: &TlsArguments, data: &Path) -> Vec<Found> {
    let mut all = Vec::new();
    let mut tell = |rests_on, wrong| all.push(Found { wrong, rests_on });
    let by_acme = !arguments.tls_domain.is_empty();
    let has_files = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(_), None) => {
            let (wrong, right) = ("it needs the private key too", "give it by --tls-key");
            tell(&["tls-key"], Wrong::of("tls-cert", wrong, right));
            Some("tls-cert")
        }
        (None, Some(_)) => {
            let (wrong, right) = ("it needs the certificate too", "give it by --tls-cert");
            tell(&["tls-cert"], Wrong::of("tls-key", wrong, right));
            Some("tls-key")
        }
        (Some(_), Some(_)) => Some("tls-cert"),
        (None, None) => None,
    };
    match has_files {
        Some(option) if by_acme => {
            let wrong = "it gives a certificate, and --tls-domain has one made";
            tell(&[], Wrong::of(option, wrong, "give one of them"));
        }
        None if !by_acme && arguments.bind_http.is_some() => tell(
            &["tls-cert", "tls-key", "tls-domain"],
            Wrong::of(
                "bind-http",
                "it leads to https, which needs --tls-cert or --tls-domain",
                "to answer by plain HTTP use --bind",
            ),
        ),
        _ => {}
    }
    if !by_acme {
        return all;
    }
    if !arguments.tls_accept_terms {
        tell(
            &["tls-accept-terms"],
            Wrong::of(
                "tls-domain",
                "an authority is asked for a certificate under its terms of service",
                "read them, for Let's Encrypt at https://letsencrypt.org/repository/, and agree by --tls-accept-terms",
            ),
        );
    }
    let cache = match cache(arguments, data) {
        Ok(cache) => cache,
        Err(wrong) => {
            tell(&["tls-cache", "data"], wrong);
            PathBuf::new()
        }
    };
    // Each is looked at with the others as they are where nobody sets them.
    let sound = || AcmeSettings {
        terms_accepted: true,
        ..AcmeSettings::new(vec!["example.org".to_owned()], cache.clone())
    };
    for (option, settings) in [
        (
            "tls-domain",
            AcmeSettings {
                domains: arguments.tls_domain.clone(),
                ..sound()
            },
        ),
        (
            "tls-contact",
            AcmeSettings {
                contact: arguments.tls_contact.clone(),
                ..sound()
            },
        ),
        (
            "tls-directory",
            AcmeSettings {
                directory: authority(arguments),
                ..sound()
            },
        ),
    ] {
        if let Err(problem) = settings.check() {
            let right = "`orrery help serve` tells how certificates are asked for";
            tell(&[], Wrong::of(option, problem.to_string(), right));
        }
    }
    all
}

fn wanted(arguments: &TlsArguments, data: &Path) -> Result<Wanted, Wrong> {
    if let Some(first) = found(arguments, data).into_iter().next() {
        return Err(first.wrong);
    }
    Ok(match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(certificate), Some(key)) => {
            Wanted::Files(CertificateFiles::new(certificate.clone(), key.clone()))
        }
        _ if arguments.tls_domain.is_empty() => Wanted::Plain,
        _ => Wanted::Acme(settings(arguments, data)?),
    })
}

fn settings(arguments: &TlsArguments, data: &Path) -> Result<AcmeSettings, Wrong> {
    let cache = cache(arguments, data)?;
    let mut settings = AcmeSettings::new(arguments.tls_domain.clone(), cache);
    settings.contact.clone_from(&arguments.tls_contact);
    settings.terms_accepted = arguments.tls_accept_terms;
    settings.directory = authority(arguments);
    settings
        .directory_roots
        .clone_from(&arguments.tls_directory_ca);
    Ok(settings)
}

/// Where the authority is asked.
fn authority(arguments: &TlsArguments) -> String {
    match arguments.tls_directory.as_str() {
        "production" => LETS_ENCRYPT.to_owned(),
        "staging" => LETS_ENCRYPT_STAGING.to_owned(),
        url => url.to_owned(),
    }
}

/// Where the account's key and the certificate are kept.
fn cache(arguments: &TlsArguments, data: &Path) -> Result<PathBuf, Wrong> {
    let cache = match &arguments.tls_cache {
        Some(cache) => cache.clone(),
        None => beside(data)?,
    };
    if whole(&cache)?.starts_with(whole(data)?) {
        return Err(Wrong::of(
            "tls-cache",
            format!(
                "{} is in the data directory, which holds nothing but the index",
                cache.display()
            ),
            "name a directory elsewhere",
        ));
    }
    Ok(cache)
}

/// The data directory's name with `.tls`.
fn beside(data: &Path) -> Result<PathBuf, Wrong> {
    let whole = whole(data)?;
    let Some(name) = whole.file_name() else {
        return Err(Wrong::of(
            "tls-cache",
            "nothing can be kept beside this data directory",
            "name a directory for it",
        ));
    };
    let mut name = OsString::from(name);
    name.push(".tls");
    Ok(whole.with_file_name(name))
}

/// A path from the root, without links as far as it is there, and without `..`.
fn whole(path: &Path) -> Result<PathBuf, Wrong> {
    let absolute = std::path::absolute(path).map_err(|error| {
        Wrong::of(
            "tls-cache",
            format!("the current directory cannot be told: {error}"),
            "name a directory from the root on",
        )
    })?;
    let mut found = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => {
                found.pop();
            }
            part => found.push(part),
        }
        if let Ok(real) = found.canonicalize() {
            found = real;
        }
    }
    Ok(found)
}

/// From now on SIGHUP has the certificate's files read again instead of ending the program; where there are none, a line says that there
/// is nothing to read. Must be called within a runtime, which ends it.
///
/// # Errors
///
/// [`Failure::System`] when the handler cannot be set.
pub(crate) fn reload_on_hangup(tls: Option<&Tls>) -> Result<()> {
    let mut hangup =
        signal(SignalKind::hangup()).map_err(Failure::system("cannot catch signals"))?;
    let tls = tls.cloned();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match &tls {
                Some(tls) => tls.reload(),
                // Whoever sent it waits for an effect.
                None => output::note(format_args!(
                    "SIGHUP: nothing is read again, since there is no certificate; settings change by a restart"
                )),
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_beside_the_data_directory_and_never_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let data = root.join("data");
        assert_eq!(beside(&data).unwrap(), root.join("data.tls"));
        assert_eq!(
            beside(&data.join("../data/")).unwrap(),
            root.join("data.tls")
        );
        assert!(beside(Path::new("/")).is_err());
        std::fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&data, root.join("link")).unwrap();
        assert_eq!(beside(&root.join("link")).unwrap(), root.join("data.tls"));
        let inside = ["data", "data/tls", "link/tls", "link/../data/x/y"];
        for path in inside {
            assert!(
                whole(&root.join(path)).unwrap().starts_with(&data),
                "{path}"
            );
        }
        for path in ["data.tls", "data/../x"] {
            assert!(
                !whole(&root.join(path)).unwrap().starts_with(&data),
                "{path}"
            );
        }
    }
}
