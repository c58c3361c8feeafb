//! A query of another service, with the records and accounts that its answer names.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use orrery_links::syntax::{Did, Nsid};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::body::{parse, too_many};
use super::errors::{By, problem};
use super::sources::{Named, NamedAs, Shape, Source, named};
use super::{Answering, NO_CACHE, ready};
use crate::app::{App, ask_self};
use crate::edge::{CallAsk, Edge, EdgeError, MiniDoc};
use crate::hydrate::{Fetched, Lack, Limits, Path, Teller, Wanted, fetch};
use crate::params::encode;
use crate::problem::Problem;
use crate::wire::edge::{HydratedQuery, NamedAccount, NamedRecord};

/// The most sources of one request.
pub(super) const SOURCES_MAX: usize = 16;

#[derive(Deserialize)]
struct Input {
    xrpc: String,
    atproto_proxy: String,
    #[serde(default)]
    params: Option<Map<String, Value>>,
    hydration_sources: Vec<SourceInput>,
    #[serde(default)]
    authorization: Option<String>,
    #[serde(default)]
    atproto_accept_labelers: Option<String>,
}

#[derive(Deserialize)]
struct SourceInput {
    path: String,
    shape: Shape,
}

/// `com.bad-example.proxy.hydrateQueryResponse`.
pub(super) fn hydrate_query(app: Arc<App>, client: IpAddr, body: Bytes) -> Answering {
    Box::pin(async move {
        let started = Instant::now();
        let (ask, sources) = read(&body, app.config.query_bytes_max)?;
        let edge = app.edge.edge()?;
        let asking = async {
            let output = call(&app, client, &**edge, ask).await?;
            let work = move || {
                let named = named(&output, &sources);
                Ok((output, named))
            };
            let (output, named) = app.pool.run(work).await?;
            let limits = app.hydrate_limits(started);
            let names = named.records.iter().map(|record| Ok(record.name.clone()));
            let (records, accounts) = tokio::join!(
                fetch(edge, names.collect(), limits),
                fetch_accounts(edge, &named.accounts, limits),
            );
            Ok((output, named, records, accounts))
        };
        let (output, named, records, accounts) = app.edge.run(asking).await?;
        let work = move || {
            let answer = told(output, named, records, accounts);
            serde_json::to_string(&answer).map_err(|_| Problem::internal())
        };
        Ok(ready(app.pool.run(work).await?, NO_CACHE))
    })
}

/// Reads what is asked, of whom, and where its answer names records.
fn read(body: &[u8], query_max: usize) -> Result<(CallAsk, Vec<Source>), Problem> {
    let input: Input = parse(body)?;
    let refuse =
        |name: &str, why: &dyn std::fmt::Display| Err(Problem::invalid(format!("{name} {why}")));
    if let Err(error) = Nsid::parse(&input.xrpc) {
        return refuse("xrpc must be an NSID:", &error);
    }
    let is_service = input
        .atproto_proxy
        .split_once('#')
        .is_some_and(|(did, id)| {
            Did::parse(did).is_ok()
                && (1..=256).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._:%-".contains(&b))
        });
    if !is_service {
        return refuse(
            "atproto_proxy",
            &"must be a DID, # and the id of its service",
        );
    }
    for (name, value) in [
        ("authorization", &input.authorization),
        ("atproto_accept_labelers", &input.atproto_accept_labelers),
    ] {
        if value
            .as_ref()
            .is_some_and(|value| HeaderValue::from_str(value).is_err())
        {
            return refuse(name, &"must be what a header can hold");
        }
    }
    if input.hydration_sources.len() > SOURCES_MAX {
        return Err(too_many("hydration_sources", SOURCES_MAX));
    }
    let mut sources = Vec::new();
    for source in input.hydration_sources {
        match Path::parse(&source.path) {
            Ok(path) => sources.push(Source {
                path,
                shape: source.shape,
            }),
            Err(why) => return refuse("hydration_sources:", &why),
        }
    }
    let query = query(&input.params.unwrap_or_default())?;
    if query.len() > query_max {
        return refuse("params", &"make a query string that is too long");
    }
    let ask = CallAsk {
        service: input.atproto_proxy,
        method: input.xrpc,
        query,
        authorization: input.authorization,
        accept_labelers: input.atproto_accept_labelers,
    };
    Ok((ask, sources))
}

/// Parameters as a query string: lists repeat their name, `null` is none.
fn query(params: &Map<String, Value>) -> Result<String, Problem> {
    let mut query = String::new();
    for (name, value) in params {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            Value::Null => &[],
            value => std::slice::from_ref(value),
        };
        for value in values {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                _ => {
                    return Err(Problem::invalid(format!(
                        "params: {name} must be a text, a number, true or false, or a list of those"
                    )));
                }
            };
            if !query.is_empty() {
                query.push('&');
            }
            encode(name, &mut query);
            query.push('=');
            encode(&text, &mut query);
        }
    }
    Ok(query)
}

/// Asks the service; without a network where it is this server.
async fn call(
    app: &Arc<App>,
    client: IpAddr,
    edge: &dyn Edge,
    ask: CallAsk,
) -> Result<Box<RawValue>, Problem> {
    let own = app.config.did_web_domain.as_deref().and_then(|domain| {
        let did = ask.service.strip_prefix("did:web:")?;
        did.strip_prefix(domain)?.strip_prefix('#')
    });
    match own {
        None => match edge.call(ask).await {
            Ok(answer) => Ok(answer.body),
            Err(error) => Err(problem(error, By::Proxy)),
        },
        Some("constellation" | "slingshot") => {
            let target = format!("/xrpc/{}?{}", ask.method, ask.query);
            let body = ask_self(app, client, &target).await?;
            serde_json::from_slice(&body).map_err(|_| {
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    "InvalidRequest",
                    "xrpc names a method whose answer is no JSON",
                )
            })
        }
        Some(id) => Err(Problem::invalid(format!(
            "atproto_proxy: this server has no service #{id}"
        ))),
    }
}

type Account = Result<MiniDoc, Lack>;

/// Who these accounts are, as far as it is known in time.
async fn fetch_accounts(
    edge: &Arc<dyn Edge>,
    accounts: &[String],
    limits: Limits,
) -> HashMap<String, Account> {
    let asked = accounts.iter().map(|account| {
        let (edge, account) = (Arc::clone(edge), account.clone());
        async move {
            let doc = edge.mini_doc(&account).await;
            (account, doc.map_err(account_lack))
        }
    });
    let asked: Vec<_> = asked.collect();
    let mut asked = stream::iter(asked).buffer_unordered(limits.concurrent);
    let mut known = HashMap::new();
    while let Ok(Some((account, doc))) = timeout_at(limits.deadline, asked.next()).await {
        known.insert(account, doc);
    }
    known
}

fn account_lack(error: EdgeError) -> Lack {
    let mut lack = Lack::from(error.clone());
    (_, lack.reason) = problem(error, By::MiniDoc).into_parts();
    lack
}

fn told(
    output: Box<RawValue>,
    named: Named,
    fetched: Vec<Fetched>,
    mut accounts: HashMap<String, Account>,
) -> HydratedQuery {
    let mut teller = Teller::new(Wanted::Whole);
    let mut records = BTreeMap::new();
    for (record, fetched) in named.records.into_iter().zip(fetched) {
        let told = told_record(&record, &fetched, &mut teller);
        records.insert(record.uri, told);
    }
    let mut identifiers = BTreeMap::new();
    for account in named.accounts {
        let told = told_account(&account, accounts.remove(&account));
        identifiers.insert(account, told);
    }
    HydratedQuery {
        output,
        records,
        identifiers,
        truncated: named.is_truncated,
    }
}

/// How something that is not there is told: its status, whether to ask again, and by what.
fn lacking(
    lack: &Lack,
    path: &'static str,
    params: &[(&str, &str)],
) -> (&'static str, Option<String>) {
    let is_late = lack.error == "Timeout";
    let follow_up = lack.is_passing.then(|| {
        let mut url = String::from(path);
        for (i, (name, value)) in params.iter().enumerate() {
            url.push(if i == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            encode(value, &mut url);
        }
        url
    });
    (if is_late { "pending" } else { "error" }, follow_up)
}

fn told_record(record: &NamedAs, fetched: &Fetched, teller: &mut Teller) -> NamedRecord {
    let lack = match fetched {
        Fetched::Found(found) => match teller.whole(found) {
            Ok(value) => {
                let others = record
                    .cids
                    .iter()
                    .filter(|cid| found.cid.as_ref() != Some(cid));
                let others: Vec<&str> = others.map(String::as_str).collect();
                let reason = (!others.is_empty()).then(|| {
                    format!(
                        "this is the newest version; it was referred to as {}",
                        others.join(", ")
                    )
                });
                return NamedRecord {
                    status: "found",
                    uri: found.uri.clone(),
                    cid: found.cid.clone(),
                    value: Some(value),
                    reason,
                    ..NamedRecord::default()
                };
            }
            Err(lack) => lack,
        },
        Fetched::Lacking(lack) => lack.clone(),
    };
    let name = &record.name;
    let params = [
        ("repo", name.authority.as_str()),
        ("collection", &name.collection),
        ("rkey", &name.rkey),
    ];
    let (status, follow_up) = lacking(&lack, "/xrpc/com.atproto.repo.getRecord", &params);
    NamedRecord {
        status,
        uri: record.uri.clone(),
        follow_up,
        reason: Some(lack.reason),
        should_retry: Some(lack.is_passing),
        ..NamedRecord::default()
    }
}

fn told_account(account: &str, doc: Option<Account>) -> NamedAccount {
    let lack = match doc.unwrap_or_else(|| Err(Lack::late())) {
        Ok(doc) => {
            return NamedAccount {
                status: "found",
                did: Some(doc.did),
                handle: Some(doc.handle),
                pds: Some(doc.pds),
                signing_key: Some(doc.signing_key),
                ..NamedAccount::default()
            };
        }
        Err(lack) => lack,
    };
    let path = "/xrpc/blue.microcosm.identity.resolveMiniDoc";
    let (status, follow_up) = lacking(&lack, path, &[("identifier", account)]);
    NamedAccount {
        status,
        follow_up,
        reason: Some(lack.reason),
        should_retry: Some(lack.is_passing),
        ..NamedAccount::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_a_query_string() {
        let params = serde_json::from_str(
            r#"{"a":"x y","b":[1,true,"é"],"c":null,"d":-1.5,"e&":"=&","f":[]}"#,
        );
        assert_eq!(
            query(&params.unwrap()).unwrap(),
            "a=x%20y&b=1&b=true&b=%C3%A9&d=-1.5&e%26=%3D%26"
        );
        for bad in [r#"{"a":{}}"#, r#"{"a":[[]]}"#, r#"{"a":[null]}"#] {
            assert!(query(&serde_json::from_str(bad).unwrap()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused_by_name() {
        let good = serde_json::json!({
            "xrpc": "app.example.getFeed", "atproto_proxy": "did:web:x.example#svc",
            "hydration_sources": [{"path": "records[]", "shape": "at-uri-parts"}],
            "authorization": "Bearer x", "params": {"a": 1},
        });
        let (ask, sources) = read(good.to_string().as_bytes(), 100).unwrap();
        assert_eq!((ask.query.as_str(), sources.len()), ("a=1", 1));
        let source = |path: &str, shape: &str| serde_json::json!([{"path": path, "shape": shape}]);
        for (name, value) in [
            ("xrpc", "getFeed".into()),
            ("xrpc", "a.b.c/../d".into()),
            ("atproto_proxy", "did:web:x.example".into()),
            ("atproto_proxy", "x#y".into()),
            ("atproto_proxy", "did:web:x.example#a b".into()),
            ("authorization", "a\r\nb: c".into()),
            ("atproto_accept_labelers", "a\nb".into()),
            ("params", serde_json::json!({"a": "x".repeat(200)})),
            ("hydration_sources", source("", "strong-ref")),
            ("shape", source("a", "else")),
        ] {
            let mut bad = good.clone();
            let member = if name == "shape" {
                "hydration_sources"
            } else {
                name
            };
            bad[member] = value;
            let problem = read(bad.to_string().as_bytes(), 100).err().unwrap();
            let is_named = problem.message().contains(name) || name == "shape";
            assert!(is_named, "{name}: {problem:?}");
        }
    }
}
