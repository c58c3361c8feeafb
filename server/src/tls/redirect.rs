//! The plain port beside TLS: whatever it is asked, it answers where that is by https.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Response, StatusCode, Uri, header};

use super::Tls;
use crate::problem::Problem;

/// Where it leads.
#[derive(Debug, Clone)]
struct Target {
    /// The names that this server has; none where they are not known.
    names: Vec<String>,
    /// The port, where it is not 443.
    port: Option<u16>,
}

/// A router that leads to the port of `tls`, which is `port` on this machine.
pub(crate) fn router(tls: &Tls, port: u16) -> Router {
    let names = tls.domains().to_vec();
    // What an authority has checked is port 443, whatever leads from there to here.
    let is_usual = port == 443 || !names.is_empty();
    let target = Target {
        names,
        port: (!is_usual).then_some(port),
    };
    Router::new().fallback(async move |request: Request| answer(&target, &request))
}

fn answer(target: &Target, request: &Request) -> Response<Body> {
    let uri = request.uri();
    let host = match uri.authority() {
        Some(authority) => Some(authority.clone()),
        None => request
            .headers()
            .get(header::HOST)
            .and_then(|host| Authority::try_from(host.as_bytes()).ok()),
    };
    let location = host.and_then(|host| HeaderValue::try_from(target.of(host.host(), uri)).ok());
    let Some(location) = location else {
        return Problem::invalid("the header Host must name this server; it answers by https")
            .into();
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, location);
    response
}

impl Target {
    fn of(&self, host: &str, uri: &Uri) -> String {
        let is_ours = self
            .names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(host));
        // By its address, or by a name that it has no certificate for.
        let host = match self.names.first() {
            Some(first) if !is_ours => first,
            _ => host,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        match self.port {
            None => format!("https://{host}{path}"),
            Some(port) => format!("https://{host}:{port}{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led(names: &[&str], port: Option<u16>, host: Option<&str>, uri: &str) -> (u16, String) {
        let target = Target {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            port,
        };
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri.parse().unwrap();
        if let Some(host) = host {
            let host = HeaderValue::from_str(host).unwrap();
            request.headers_mut().insert(header::HOST, host);
        }
        let response = answer(&target, &request);
        let location = response.headers().get(header::LOCATION);
        let location = location.map_or("", |location| location.to_str().unwrap());
        (response.status().as_u16(), location.to_owned())
    }

    #[test]
    fn everything_leads_to_the_same_by_https() {
        let to = |url: &str| (308, url.to_owned());
        let path = "/links/count?target=a%20b&x=1";
        assert_eq!(
            led(&[], None, Some("a.example"), path),
            to(&format!("https://a.example{path}"))
        );
        assert_eq!(
            led(&[], None, Some("a.example:80"), "/"),
            to("https://a.example/")
        );
        assert_eq!(
            led(&[], Some(8443), Some("[::1]:80"), "/x"),
            to("https://[::1]:8443/x")
        );
        assert_eq!(
            led(&[], None, None, "http://b.example/y"),
            to("https://b.example/y")
        );
        let names = ["a.example", "b.example"];
        assert_eq!(
            led(&names, None, Some("B.example"), "/"),
            to("https://B.example/")
        );
        assert_eq!(
            led(&names, None, Some("192.0.2.1"), "/"),
            to("https://a.example/")
        );
        assert_eq!(
            led(&[], None, Some("user@a.example"), "/"),
            to("https://a.example/")
        );
        assert_eq!(led(&[], None, None, "/").0, 400);
        assert_eq!(led(&[], None, Some("a b"), "/").0, 400);
    }
}
