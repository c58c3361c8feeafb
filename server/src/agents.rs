//! Which programs ask: requests, errors and bytes by the product that a `User-Agent` names, and by route. No address is
//! looked at, and nothing else of a client is kept.
//!
//! The table is bounded, and keeps those that ask most, by the space-saving rule (Metwally and others, 2005): where all
//! places are taken, a new product takes the place of the one with the least weight, and goes on from that weight. One
//! with more than 1/[`PRODUCTS_MAX`] of all requests is always in it. What was counted of a product that lost its
//! place goes to the others, so that all together are the sum.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use parking_lot::Mutex;

/// Products that are counted each by itself.
const PRODUCTS_MAX: usize = 200;
/// The most bytes of a product's name; a longer one is no name.
const NAME_BYTES_MAX: usize = 48;
/// Requests from which on a product has its own line in the metrics, if they are also one of [`PRODUCTS_MAX`] parts of all: whoever makes
/// names up makes few series, however long it goes on.
const SERIES_MIN: u64 = 20;
/// Clients that name no product.
const UNNAMED: &str = "(none)";
/// Clients whose `User-Agent` begins with none.
const UNREADABLE: &str = "(unreadable)";

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    /// Answers of a status from 400 on.
    pub(crate) errors: u64,
    /// Bytes of bodies whose length was known before they were sent.
    pub(crate) bytes: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

type Routes = BTreeMap<&'static str, Tally>;

struct Product {
    name: Box<str>,
    /// At least as many requests as there were of it.
    weight: u64,
    routes: Routes,
}

#[derive(Default)]
struct Table {
    products: Vec<Product>,
    others: Routes,
}

/// See the module's description.
#[derive(Default)]
pub(crate) struct Agents(Mutex<Table>);

/// The product that a `User-Agent` begins with, without its version; of crawlers that begin as browsers do, the one they
/// are compatible to nobody as: `Mozilla/5.0 (compatible; Name/1.0; ...)`.
pub(crate) fn product(header: Option<&[u8]>) -> &str {
    let Some(header) = header else {
        return UNNAMED;
    };
    let Ok(text) = std::str::from_utf8(header) else {
        return UNREADABLE;
    };
    let text = text.trim_start();
    if text.is_empty() {
        return UNNAMED;
    }
    let first = token(text);
    let behind = "Mozilla/5.0 (compatible; ";
    let inner = text.strip_prefix(behind).and_then(token);
    inner.or(first).unwrap_or(UNREADABLE)
}

/// The token (RFC 9110) at the beginning of a text.
fn token(text: &str) -> Option<&str> {
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let len = text.bytes().take_while(|byte| is_of_token(byte)).count();
    text.get(..len)
        .filter(|name| (1..=NAME_BYTES_MAX).contains(&name.len()))
}

impl Agents {
    /// Counts an answer.
    pub(crate) fn answered(&self, product: &str, route: &'static str, tally: Tally) {
        let table = &mut *self.0.lock();
        if let Some(known) = table.products.iter_mut().find(|p| *p.name == *product) {
            known.weight = known.weight.saturating_add(tally.requests);
            known.routes.entry(route).or_default().add(tally);
            return;
        }
        let mut weight = tally.requests;
        if table.products.len() >= PRODUCTS_MAX {
            let places = table.products.iter().enumerate();
            let least = places.min_by_key(|(_, product)| product.weight);
            if let Some((place, _)) = least {
                let gone = table.products.swap_remove(place);
                weight = weight.saturating_add(gone.weight);
                for (route, tally) in gone.routes {
                    table.others.entry(route).or_default().add(tally);
                }
            }
        }
        table.products.push(Product {
            name: product.into(),
            weight,
            routes: Routes::from([(route, tally)]),
        });
    }

    /// All products, those with the most requests first, then the others together.
    fn read(&self) -> (Vec<(Box<str>, Routes, Tally)>, Routes) {
        let table = self.0.lock();
        let products = table.products.iter();
        let mut products: Vec<_> = products
            .map(|product| {
                let sum = sum(&product.routes);
                (product.name.clone(), product.routes.clone(), sum)
            })
            .collect();
        let others = table.others.clone();
        drop(table);
        products.sort_by(|a, b| (b.2.requests, &a.0).cmp(&(a.2.requests, &b.0)));
        (products, others)
    }

    /// The table as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        let (products, others) = self.read();
        let tally = |tally: &Tally| {
            serde_json::json!({
                "requests": tally.requests, "errors": tally.errors, "bytes": tally.bytes,
            })
        };
        let one = |name: Option<&str>, routes: &Routes| {
            let mut value = tally(&sum(routes));
            if let (Some(members), Some(name)) = (value.as_object_mut(), name) {
                members.insert("product".to_owned(), name.into());
            }
            let routes = routes
                .iter()
                .map(|(route, of)| ((*route).to_owned(), tally(of)));
            if let Some(members) = value.as_object_mut() {
                members.insert("routes".to_owned(), routes.collect());
            }
            value
        };
        let products: Vec<_> = products
            .iter()
            .map(|(name, routes, _)| one(Some(name), routes))
            .collect();
        serde_json::json!({ "products": products, "others": one(None, &others) })
    }

    /// The table as lines of the metrics page.
    pub(crate) fn render(&self, page: &mut String) {
        let (products, others) = self.read();
        let all = products.iter().map(|(.., sum)| sum.requests);
        let all = all.fold(sum(&others).requests, u64::saturating_add);
        let least = SERIES_MIN.max(all.div_ceil(PRODUCTS_MAX as u64));
        let shown: Vec<(&str, Tally)> = products
            .iter()
            .filter(|(.., sum)| sum.requests >= least)
            .map(|(name, _, sum)| (&**name, *sum))
            .chain([("(other)", sum(&others))])
            .collect();
        let mut series = |name: &str, help: &str, of: &dyn Fn(&Tally) -> u64| {
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} counter");
            for (product, tally) in &shown {
                // A token has neither quotes nor backslashes.
                let _ = writeln!(page, "{name}{{product=\"{product}\"}} {}", of(tally));
            }
        };
        series(
            "orrery_http_agent_requests_total",
            "Answered requests, by the product of the User-Agent.",
            &|tally| tally.requests,
        );
        series(
            "orrery_http_agent_errors_total",
            "Of these, with a status of 400 or above.",
            &|tally| tally.errors,
        );
        series(
            "orrery_http_agent_bytes_total",
            "Bytes of the bodies of these answers.",
            &|tally| tally.bytes,
        );
    }
}

fn sum(routes: &Routes) -> Tally {
    let mut sum = Tally::default();
    for tally in routes.values() {
        sum.add(*tally);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Tally = Tally {
        requests: 1,
        errors: 0,
        bytes: 10,
    };

    #[test]
    fn a_product_is_what_the_header_begins_with() {
        let of = |text: &str| product(Some(text.as_bytes())).to_owned();
        assert_eq!(of("curl/8.5.0"), "curl");
        assert_eq!(of("orrery"), "orrery");
        assert_eq!(of("Mozilla/5.0 (X11; Linux x86_64) Firefox/1"), "Mozilla");
        assert_eq!(
            of("Mozilla/5.0 (compatible; Some-Bot/2.1; +http://x)"),
            "Some-Bot"
        );
        assert_eq!(of(""), UNNAMED);
        assert_eq!(product(None), UNNAMED);
        assert_eq!(product(Some(b"\xff\xfe")), UNREADABLE);
        assert_eq!(of("\"quoted\""), UNREADABLE);
        assert_eq!(of(&"x".repeat(NAME_BYTES_MAX + 1)), UNREADABLE);
    }

    #[test]
    fn those_that_ask_most_keep_their_places_and_nothing_is_lost() {
        let agents = Agents::default();
        for round in 0..2_000 {
            agents.answered("often", "/links", ONE);
            agents.answered(&format!("made-up-{round}"), "/links/all", ONE);
        }
        let (products, others) = agents.read();
        assert_eq!(products.len(), PRODUCTS_MAX);
        let (name, routes, all) = &products[0];
        assert_eq!((&**name, all.requests, all.bytes), ("often", 2_000, 20_000));
        assert_eq!(routes.keys().collect::<Vec<_>>(), [&"/links"]);
        let counted: u64 = products.iter().map(|(.., sum)| sum.requests).sum();
        assert_eq!(counted + sum(&others).requests, 4_000);
        let mut page = String::new();
        agents.render(&mut page);
        assert!(page.contains("orrery_http_agent_requests_total{product=\"often\"} 2000\n"));
        assert!(!page.contains("made-up"), "one request makes no series");
        // Nor do many of them, each a small part of all.
        for name in ["made-up-a", "made-up-b"] {
            for _ in 0..20 {
                agents.answered(name, "/links/all", ONE);
            }
        }
        let mut page = String::new();
        agents.render(&mut page);
        assert!(!page.contains("made-up"), "{page}");
        let json = agents.json();
        assert_eq!(json["products"][0]["product"], "often");
        assert_eq!(json["products"][0]["routes"]["/links"]["requests"], 2_000);
    }
}
