//! One HTTPS request after another to an authority. They are few and far between, so each has a connection of its own.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// More than any answer of an authority has.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);

type Failed = Box<dyn StdError + Send + Sync>;

/// The way to an authority.
#[derive(Clone)]
pub(super) struct Client(pub(super) Arc<ClientConfig>);

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = TlsConnector::from(Arc::clone(&self.0));
        Box::pin(async move {
            let host = request.uri().authority().map(ToString::to_string);
            let problem = match timeout(TIMEOUT, ask(tls, request)).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {TIMEOUT:?}"),
            };
            let host = host.unwrap_or_default();
            Err(Error::Other(format!("{host}: {problem}").into()))
        })
    }
}

async fn ask(
    tls: TlsConnector,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<BytesResponse, Failed> {
    let uri = request.uri().clone();
    if uri.scheme_str() != Some("https") {
        return Err(format!("{uri} is no https address").into());
    }
    let authority = uri.authority().ok_or("an address without a host")?;
    let host = authority.host().trim_matches(['[', ']']);
    let port = authority.port_u16().unwrap_or(443);
    let name = ServerName::try_from(host.to_owned())?;
    let tcp = TcpStream::connect((host, port)).await?;
    let stream = tls.connect(name, tcp).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = HeaderValue::from_str(authority.as_str())?;
    *request.uri_mut() = path.parse::<Uri>()?;
    request.headers_mut().insert(HOST, host);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut answer = pin!(async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let bytes = to_bytes(Body::new(body), ANSWER_BYTES_MAX).await?;
        Ok(BytesResponse {
            parts,
            body: Box::new(bytes),
        })
    });
    tokio::select! {
        answered = &mut answer => answered,
        // It may end before all that it brought is taken.
        _ = connection => answer.await,
    }
}
