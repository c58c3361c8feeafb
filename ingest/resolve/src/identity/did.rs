//! From a DID to its document.
//!
//! Owns which DIDs are asked for, where, and what the answers mean.

use orrery_links::syntax::{Did, Handle};

use super::handle::reserved_tld;
use super::{ResolverOptions, of_fetch};
use crate::document::Document;
use crate::error::ResolveError;
use crate::network::{FetchError, Network, Request};

/// Asks for the document of `did`.
pub(super) async fn ask(
    network: &dyn Network,
    options: &ResolverOptions,
    did: &str,
) -> Result<Document, ResolveError> {
    let mut request = Request::new(document_url(options, did)?, Document::BYTES_MAX);
    request.redirects = if did.starts_with("did:web:") { 3 } else { 0 };
    request.accept = Some("application/did+ld+json, application/json".to_owned());
    let answer = match network.get(request).await {
        Ok(answer) => answer,
        Err(FetchError::NoSuchHost { host }) if did.starts_with("did:web:") => {
            return Err(ResolveError::NotFound {
                name: did.to_owned(),
                problem: format!("there is no host {host}"),
            });
        }
        Err(FetchError::TooLarge { most, .. }) => {
            return Err(ResolveError::Unusable {
                did: did.to_owned(),
                problem: format!("more than {most} bytes"),
            });
        }
        Err(error) => return Err(of_fetch(did, error)),
    };
    match answer.status {
        200 => Document::parse(did, &answer.body),
        // A directory says 410 of a DID that was given up, and 400 of one that it could never have.
        status @ (400 | 404 | 410) => Err(ResolveError::NotFound {
            name: did.to_owned(),
            problem: format!("its document is not there (HTTP {status})"),
        }),
        status => Err(ResolveError::Technical {
            name: did.to_owned(),
            problem: format!("HTTP {status} in place of its document"),
        }),
    }
}

/// Where the document of `did` is. Also the test for DIDs that need not be asked for.
pub(super) fn document_url(options: &ResolverOptions, did: &str) -> Result<String, ResolveError> {
    let parsed = Did::parse(did).map_err(|error| ResolveError::Syntax {
        problem: error.to_string(),
    })?;
    match parsed.method() {
        "plc" => plc_url(options, parsed),
        "web" => web_url(options, parsed),
        _ => Err(unsupported(did, "only did:plc and did:web are in use")),
    }
}

fn plc_url(options: &ResolverOptions, did: Did<'_>) -> Result<String, ResolveError> {
    let identifier = did.identifier();
    let is_plc = identifier.len() == 24
        && identifier
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
    if !is_plc {
        return Err(ResolveError::NotFound {
            name: did.as_str().to_owned(),
            problem: "a did:plc has 24 characters of a-z and 2-7".to_owned(),
        });
    }
    Ok(format!("{}/{did}", options.plc.trim_end_matches('/')))
}

fn web_url(options: &ResolverOptions, did: Did<'_>) -> Result<String, ResolveError> {
    let host = did.identifier();
    if options.allow_private
        && let Some(port) = localhost_port(host)
    {
        return Ok(format!("http://localhost:{port}/.well-known/did.json"));
    }
    if host.contains([':', '%']) {
        return Err(unsupported(
            did.as_str(),
            "a did:web with a port or a path is not in use",
        ));
    }
    if let Some(tld) = reserved_tld(host, options.allow_test) {
        return Err(ResolveError::Reserved {
            name: did.as_str().to_owned(),
            tld,
        });
    }
    // The rules for handles are those for public host names: two labels, and no number at the end as in addresses.
    if Handle::parse(host).is_err() {
        return Err(unsupported(did.as_str(), "its host is no public host name"));
    }
    Ok(format!("https://{host}/.well-known/did.json"))
}

/// The port of `localhost%3A<port>`.
fn localhost_port(host: &str) -> Option<u16> {
    let port = host.strip_prefix("localhost%3")?.strip_prefix(['A', 'a'])?;
    port.parse().ok().filter(|&port| port != 0)
}

fn unsupported(did: &str, problem: &'static str) -> ResolveError {
    ResolveError::Unsupported {
        did: did.to_owned(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLC: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

    fn url(did: &str, private: bool) -> Result<String, ResolveError> {
        let options = ResolverOptions {
            plc: "https://plc.example.com/base/".to_owned(),
            allow_private: private,
            ..ResolverOptions::default()
        };
        document_url(&options, did)
    }

    #[test]
    fn documents_are_where_the_method_says() {
        for (did, private, there) in [
            (
                PLC,
                false,
                "https://plc.example.com/base/did:plc:ewvi7nxzyoun6zhxrhs64oiz",
            ),
            ("did:web:a.b", false, "https://a.b/.well-known/did.json"),
            (
                "did:web:A.b-c.d",
                true,
                "https://A.b-c.d/.well-known/did.json",
            ),
            (
                "did:web:localhost%3A2583",
                true,
                "http://localhost:2583/.well-known/did.json",
            ),
            (
                "did:web:localhost%3a1",
                true,
                "http://localhost:1/.well-known/did.json",
            ),
        ] {
            assert_eq!(url(did, private).as_deref(), Ok(there), "{did}");
        }
    }

    #[test]
    fn dids_that_cannot_be_are_not_asked_for() {
        for did in [
            "",
            "did",
            "did:plc",
            "did:plc:",
            "did:web:a/b",
            "did:web:a.b%",
            "DID:web:a.b",
        ] {
            let error = url(did, true).expect_err(did);
            assert!(
                matches!(error, ResolveError::Syntax { .. }),
                "{did}: {error}"
            );
        }
        for did in [
            "did:plc:abc",
            "did:plc:ewvi7nxzyoun6zhxrhs64oi1",
            "did:plc:EWVI7nxzyoun6zhxrhs64oiz",
            "did:plc:ewvi7nxzyoun6zhxrhs64oiza",
            "did:plc:..%2f..%2f..%2f..%2fabcdefg",
        ] {
            let error = url(did, true).expect_err(did);
            assert!(
                matches!(error, ResolveError::NotFound { .. }),
                "{did}: {error}"
            );
        }
        for did in [
            "did:key:zabc",
            "did:web:a.b%3A8080",
            "did:web:a.b:user",
            "did:web:a.b%2Fuser",
            "did:web:single",
            "did:web:127.0.0.1",
            "did:web:10.1",
            "did:web:a_b.c",
            "did:web:localhost%3A0",
            "did:web:localhost%3A65536",
            "did:web:localhost%3A80%3A80",
        ] {
            let error = url(did, true).expect_err(did);
            assert!(
                matches!(error, ResolveError::Unsupported { .. }),
                "{did}: {error}"
            );
        }
        let error = url("did:web:localhost%3A2583", false).expect_err("private");
        assert!(matches!(error, ResolveError::Unsupported { .. }), "{error}");
        for (did, tld) in [
            ("did:web:localhost", "localhost"),
            ("did:web:printer.local", "local"),
            ("did:web:a.ONION", "onion"),
            ("did:web:a.test", "test"),
        ] {
            let expected = ResolveError::Reserved {
                name: did.to_owned(),
                tld: tld.to_owned(),
            };
            assert_eq!(url(did, false), Err(expected), "{did}");
        }
    }
}
