//! The source of the scenario: a Jetstream server for one follower, which sends synthetic events at a fixed rate and
//! remembers what each of them links to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::SinkExt as _;
use orrery_formats::event::{Body, Operation};
use orrery_ingest::decode;
use orrery_links::Extractor;
use orrery_synth::{Generator, Options, Tempo};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;
use xxhash_rust::xxh3::xxh3_64;

/// How often what is due is sent.
const TICK: Duration = Duration::from_millis(2);

/// A link that was sent, as a subscriber has to get it.
pub(super) struct Sent {
    pub(super) subject: String,
    pub(super) source: String,
    /// Of the frame's text.
    pub(super) hash: u64,
}

/// What was sent: the links in order, and when, by the hash of their frames.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) links: Vec<Sent>,
    pub(super) sent_at: HashMap<u64, Instant>,
    pub(super) events: u64,
}

pub(super) struct Feed {
    listener: TcpListener,
    generator: Generator,
    extractor: Extractor,
    line: Vec<u8>,
    pub(super) ledger: Rc<RefCell<Ledger>>,
    socket: Option<tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>>,
}

impl Feed {
    /// A source of `rate` events a second, whose event time begins now.
    pub(super) async fn new(rate: u64, seed: u64) -> Result<Self, Box<dyn std::error::Error>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let options = Options {
            seed,
            start_us: u64::try_from(now.as_micros())?,
            tempo: Tempo::EventsPerSecond(rate as f64),
            ..Options::default()
        };
        Ok(Self {
            listener: TcpListener::bind("127.0.0.1:0").await?,
            generator: Generator::new(options)?,
            extractor: Extractor::default(),
            line: Vec::new(),
            ledger: Rc::default(),
            socket: None,
        })
    }

    pub(super) fn generator(&self) -> &Generator {
        &self.generator
    }

    pub(super) fn url(&self) -> Result<String, std::io::Error> {
        let address = self.listener.local_addr()?;
        Ok(format!("ws://{address}/subscribe"))
    }

    /// Waits for the follower.
    pub(super) async fn accept(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let (stream, _) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        self.socket = Some(tokio_tungstenite::accept_async(stream).await?);
        Ok(())
    }

    /// Sends `rate` events a second for that long.
    pub(super) async fn send(
        &mut self,
        rate: u64,
        span: Duration,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let start = Instant::now();
        let mut count = 0;
        while start.elapsed() < span {
            let due = start.elapsed().as_micros() as u64 * rate / 1_000_000;
            while count < due {
                count += 1;
                if self.generator.next_into(&mut self.line).is_none() {
                    return Err("the generator ended".into());
                }
                self.note()?;
                let text = String::from_utf8(self.line.clone())?;
                let socket = self.socket.as_mut().ok_or("no follower")?;
                socket.feed(Message::text(text)).await?;
            }
            self.socket.as_mut().ok_or("no follower")?.flush().await?;
            sleep(TICK).await;
        }
        Ok(())
    }

    /// Enters the links of the event in `line` into the ledger.
    fn note(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let mut ledger = self.ledger.borrow_mut();
        ledger.events += 1;
        let event = orrery_jetstream::Event::parse_bytes(&self.line);
        let event = event.map_err(|malformed| malformed.reason())?;
        let text = event_rev(&self.line);
        let event = decode(&event).map_err(|reason| format!("{reason:?}"))?;
        let Body::Commit {
            collection,
            rkey,
            operation: Operation::Create(record) | Operation::Update(record),
            ..
        } = event.body
        else {
            return Ok(());
        };
        let record_uri = format!("at://{}/{collection}/{rkey}", event.did);
        let now = Instant::now();
        for link in self.extractor.extract_json(record.body)?.links() {
            let source = format!("{collection}:{}", link.path.trim_start_matches('.'));
            let frame = format!(
                concat!(
                    r#"{{"kind":"link","origin":"live","link":{{"operation":"create","source":{},"#,
                    r#""source_record":{},"source_rev":{},"subject":{}}}}}"#
                ),
                serde_json::to_string(&source)?,
                serde_json::to_string(&record_uri)?,
                serde_json::to_string(text)?,
                serde_json::to_string(link.target)?,
            );
            let hash = xxh3_64(frame.as_bytes());
            ledger.sent_at.insert(hash, now);
            ledger.links.push(Sent {
                subject: link.target.to_owned(),
                source,
                hash,
            });
        }
        Ok(())
    }
}

/// The revision in the text of a commit event.
fn event_rev(line: &[u8]) -> &str {
    let text = std::str::from_utf8(line).unwrap_or_default();
    let (_, rest) = text.split_once("\"rev\":\"").unwrap_or_default();
    rest.split('"').next().unwrap_or_default()
}
