//! One certificate from an authority: account, order, challenges, request, chain.

use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeStatus, ChallengeType, Error,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::Acme;
use super::cache::ACCOUNT;
use crate::tls::certificate::Certificate;
use crate::tls::presented::Presented;

/// How long an authority may take to check the names, and then to make the certificate.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why there is no certificate, in words for people.
#[derive(Debug)]
pub(super) struct Failed(pub(super) String);

/// What is kept of an account.
#[derive(Serialize, Deserialize)]
struct Kept {
    contact: Option<String>,
    credentials: AccountCredentials,
}

/// A certificate that has just been made, as it is presented and as it is kept.
pub(super) struct Made {
    pub(super) certificate: Certificate,
    pub(super) pem: String,
}

/// Has a certificate made for the names of the settings.
pub(super) async fn place(acme: &Acme, presented: &Presented) -> Result<Made, Failed> {
    let settings = &acme.settings;
    let account = account(acme).await?;
    let names: Vec<Identifier> = settings
        .domains
        .iter()
        .cloned()
        .map(Identifier::Dns)
        .collect();
    let ordered = account.new_order(&NewOrder::new(&names)).await;
    forget_unknown(acme, ordered.as_ref().err()).await;
    let mut order = ordered.map_err(told)?;
    answer_challenges(acme, &mut order, presented).await?;
    let patience = RetryPolicy::new().timeout(PATIENCE);
    let checked = order.poll_ready(&patience).await;
    if !matches!(checked, Ok(OrderStatus::Ready)) {
        if let Some(refused) = refusal(&mut order).await {
            return Err(refused);
        }
        return Err(match checked {
            Ok(_) => Failed("the authority refused the order".to_owned()),
            Err(error) => told(error),
        });
    }
    let key = KeyPair::generate().map_err(own)?;
    let mut params = CertificateParams::new(settings.domains.clone()).map_err(own)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(own)?;
    order.finalize_csr(request.der()).await.map_err(told)?;
    let chain = order.poll_certificate(&patience).await.map_err(told)?;
    let key = key.serialize_pem();
    let made = Certificate::from_pem(chain.as_bytes(), key.as_bytes(), &acme.provider);
    let certificate = made.map_err(|flaw| {
        let problem = flaw.problem();
        Failed(format!(
            "the authority's certificate cannot be used: {problem}"
        ))
    })?;
    if let Some(missing) = settings
        .domains
        .iter()
        .find(|name| !certificate.is_for(name))
    {
        let problem = format!("the authority's certificate is not for {missing}");
        return Err(Failed(problem));
    }
    Ok(Made {
        certificate,
        pem: format!("{key}{chain}"),
    })
}

/// The account as it was kept, or a new one.
async fn account(acme: &Acme) -> Result<Account, Failed> {
    let settings = &acme.settings;
    let builder = || Account::builder_with_http(Box::new(acme.client.clone()));
    let contact = settings
        .contact
        .as_ref()
        .map(|mail| format!("mailto:{mail}"));
    let contacts: Vec<&str> = contact.as_deref().into_iter().collect();
    let cache = acme.cache.clone();
    let bytes = spawn_blocking(move || cache.get(ACCOUNT)).await;
    let bytes = bytes.map_err(own)?.map_err(|error| unkept(acme, &error))?;
    let kept = bytes.and_then(|bytes| match serde_json::from_slice::<Kept>(&bytes) {
        Ok(kept) => Some(kept),
        Err(error) => {
            let path = acme.cache.dir.join(ACCOUNT);
            tracing::warn!(
                "{} cannot be read: {error}. A new account is made",
                path.display()
            );
            None
        }
    });
    let account = match kept {
        Some(kept) => {
            let is_known = kept.contact == settings.contact;
            let text = serde_json::to_value(&kept.credentials).map_err(own)?;
            let account = builder().from_credentials(kept.credentials).await;
            let account = account.map_err(told)?;
            if is_known {
                return Ok(account);
            }
            let updated = account.update_contacts(&contacts).await;
            forget_unknown(acme, updated.as_ref().err()).await;
            updated.map_err(told)?;
            keep_account(acme, serde_json::from_value(text).map_err(own)?).await?;
            account
        }
        None => {
            let new = NewAccount {
                contact: &contacts,
                terms_of_service_agreed: settings.terms_accepted,
                only_return_existing: false,
            };
            let made = builder()
                .create(&new, settings.directory.clone(), None)
                .await;
            let (account, credentials) = made.map_err(told)?;
            keep_account(acme, credentials).await?;
            account
        }
    };
    Ok(account)
}

/// Forgets an account that the authority does not know: the next attempt makes one.
async fn forget_unknown(acme: &Acme, failed: Option<&Error>) {
    if let Some(Error::Api(problem)) = failed
        && is(problem, "accountDoesNotExist")
    {
        let cache = acme.cache.clone();
        let _ = spawn_blocking(move || cache.remove(ACCOUNT)).await;
    }
}

async fn keep_account(acme: &Acme, credentials: AccountCredentials) -> Result<(), Failed> {
    let contact = acme.settings.contact.clone();
    let kept = Kept {
        contact,
        credentials,
    };
    let text = serde_json::to_vec_pretty(&kept).map_err(own)?;
    let cache = acme.cache.clone();
    let put = spawn_blocking(move || cache.put(ACCOUNT, &text)).await;
    put.map_err(own)?.map_err(|error| unkept(acme, &error))
}

/// Has the authority check each name that it does not know as ours by connecting to port 443 of it.
async fn answer_challenges(
    acme: &Acme,
    order: &mut Order,
    presented: &Presented,
) -> Result<(), Failed> {
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let mut authorization = next.map_err(told)?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            // What is wrong is told by the refusal of the order.
            _ => return Ok(()),
        }
        let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
        let mut challenge = challenge.ok_or_else(|| {
            Failed("the authority does not check names by TLS-ALPN-01, the only way known here; use a proxy, or --tls-cert".to_owned())
        })?;
        let Identifier::Dns(name) = challenge.identifier().identifier.clone() else {
            return Err(Failed(
                "the authority asks about something other than a name".to_owned(),
            ));
        };
        let digest = challenge.key_authorization().digest();
        let answer = challenge_answer(acme, &name, digest.as_ref())?;
        presented.challenge(&name, answer);
        challenge.set_ready().await.map_err(told)?;
    }
    Ok(())
}

/// The certificate that proves that whoever has the account's key answers for the name (RFC 8737, section 3).
fn challenge_answer(acme: &Acme, name: &str, digest: &[u8]) -> Result<CertifiedKey, Failed> {
    if digest.len() != 32 {
        return Err(Failed("a digest is not one of SHA-256".to_owned()));
    }
    let key = KeyPair::generate().map_err(own)?;
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(own)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key).map_err(own)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    // Not looked at as other certificates are: a reader of those knows no challenge's extension, which is critical.
    let key = acme
        .provider
        .key_provider
        .load_private_key(key)
        .map_err(own)?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// Which name the authority could not check, and why.
async fn refusal(order: &mut Order) -> Option<Failed> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let mut challenges = state.challenges.iter();
        let invalid = challenges.find(|challenge| challenge.status == ChallengeStatus::Invalid);
        if let Some(problem) = invalid.and_then(|challenge| challenge.error.as_ref()) {
            let name = state.identifier().to_string();
            return Some(Failed(format!(
                "it could not see that {name} is this server: {}. Port 443 of {name} must be open to everybody and lead here, IPv6 too where the \
                 name has such an address, and a proxy between must pass TLS on as it comes",
                detail(problem)
            )));
        }
    }
    None
}

/// What the authority said.
fn detail(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let kind = kind.rsplit(':').next().unwrap_or_default();
    let mut text = match &problem.detail {
        Some(detail) => format!("{detail} ({kind})"),
        None => kind.to_owned(),
    };
    for part in &problem.subproblems {
        text = format!("{text}; {part}");
    }
    // It comes from elsewhere and goes into a log of lines.
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(1000)
        .collect()
}

fn is(problem: &Problem, kind: &str) -> bool {
    let whole = problem.r#type.as_deref().unwrap_or_default();
    whole.strip_prefix("urn:ietf:params:acme:error:") == Some(kind)
}

/// What a call came to.
fn told(error: Error) -> Failed {
    let Error::Api(problem) = error else {
        return Failed(error.to_string());
    };
    let advice = if is(&problem, "rateLimited") {
        ". It allows no more for now; to try things out use --tls-directory staging"
    } else if is(&problem, "invalidContact") || is(&problem, "unsupportedContact") {
        ". Correct --tls-contact"
    } else if is(&problem, "rejectedIdentifier") || is(&problem, "caa") {
        ". It makes no certificate for such a name: correct --tls-domain, or the CAA record of the name"
    } else if is(&problem, "accountDoesNotExist") {
        ". A new account is made at the next attempt"
    } else {
        ""
    };
    Failed(format!("{}{advice}", detail(&problem)))
}

/// What failed on this side.
fn own(error: impl std::fmt::Display) -> Failed {
    Failed(format!("this server could not make its part: {error}"))
}

fn unkept(acme: &Acme, error: &std::io::Error) -> Failed {
    let dir = acme.cache.dir.display();
    Failed(format!(
        "the account's key cannot be kept in {dir}: {error}"
    ))
}
