//! TLS as the command line has it, and SIGHUP, which has it read its files again.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use orrery_server::{AcmeSettings, CertificateFiles, LETS_ENCRYPT, LETS_ENCRYPT_STAGING, Tls};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::TlsArguments;
use crate::failure::{Failure, Result};

/// How to speak TLS beside the data directory `data`; `None`: not at all.
///
/// # Errors
///
/// [`Failure::Usage`] for options that make no sense together, [`Failure::Server`] for files that cannot be used.
pub(crate) fn of(arguments: &TlsArguments, data: &Path) -> Result<Option<Tls>> {
    let usage = |problem: &str| Err(Failure::Usage(problem.to_owned()));
    match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(_), Some(_)) if !arguments.tls_domain.is_empty() => {
            usage("--tls-cert gives a certificate and --tls-domain has one made; give one of them")
        }
        (Some(certificate), Some(key)) => {
            let files = CertificateFiles::new(certificate.clone(), key.clone());
            Ok(Some(Tls::from_files(files)?))
        }
        (Some(_), None) => usage("--tls-cert needs the private key too, by --tls-key"),
        (None, Some(_)) => usage("--tls-key needs the certificate too, by --tls-cert"),
        (None, None) if !arguments.tls_domain.is_empty() => {
            Ok(Some(Tls::by_acme(settings(arguments, data)?)?))
        }
        (None, None) if arguments.bind_http.is_some() => usage(
            "--bind-http leads to https, which needs --tls-cert or --tls-domain; to answer by plain HTTP use --bind",
        ),
        (None, None) => Ok(None),
    }
}

fn settings(arguments: &TlsArguments, data: &Path) -> Result<AcmeSettings> {
    if !arguments.tls_accept_terms {
        return Err(Failure::Usage(
            "--tls-domain asks an authority for a certificate under its terms of service; read them, for Let's Encrypt at \
             https://letsencrypt.org/repository/, and agree by --tls-accept-terms"
                .to_owned(),
        ));
    }
    let cache = match &arguments.tls_cache {
        Some(cache) => cache.clone(),
        None => beside(data)?,
    };
    if whole(&cache)?.starts_with(whole(data)?) {
        return Err(Failure::Usage(format!(
            "--tls-cache {} is in the data directory, which holds nothing but the index",
            cache.display()
        )));
    }
    let mut settings = AcmeSettings::new(arguments.tls_domain.clone(), cache);
    settings.contact.clone_from(&arguments.tls_contact);
    settings.terms_accepted = true;
    settings.directory = match arguments.tls_directory.as_str() {
        "production" => LETS_ENCRYPT.to_owned(),
        "staging" => LETS_ENCRYPT_STAGING.to_owned(),
        url => url.to_owned(),
    };
    settings
        .directory_roots
        .clone_from(&arguments.tls_directory_ca);
    Ok(settings)
}

/// The data directory's name with `.tls`.
fn beside(data: &Path) -> Result<PathBuf> {
    let whole = whole(data)?;
    let Some(name) = whole.file_name() else {
        let problem = "nothing can be kept beside this data directory; give --tls-cache";
        return Err(Failure::Usage(problem.to_owned()));
    };
    let mut name = OsString::from(name);
    name.push(".tls");
    Ok(whole.with_file_name(name))
}

/// A path from the root, without links as far as it is there, and without `..`.
fn whole(path: &Path) -> Result<PathBuf> {
    let absolute =
        std::path::absolute(path).map_err(Failure::system("cannot tell the current directory"))?;
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

/// From now on SIGHUP has the files read again instead of ending the program. Must be called within a runtime, which ends it.
///
/// # Errors
///
/// [`Failure::System`] when the handler cannot be set.
pub(crate) fn reload_on_hangup(tls: &Tls) -> Result<()> {
    let mut hangup =
        signal(SignalKind::hangup()).map_err(Failure::system("cannot catch signals"))?;
    let tls = tls.clone();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tls.reload();
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
