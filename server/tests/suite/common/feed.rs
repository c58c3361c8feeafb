//! A feed of events made by hand, and a client of the link stream.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use orrery_query::stream::{Cause, Change, Forms, Info, Operation, Origin, Read, Start, Step};
use orrery_server::{Feed, IndexError, StepReader};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// The time of the first event.
pub const TIME_US: u64 = 1_700_000_000_000_000;

/// Events in memory, from seq 1 on; some of the oldest may be gone.
#[derive(Default)]
pub struct Events {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// All steps of each event.
    events: Vec<Vec<Step>>,
    /// The first event that is kept.
    floor: u64,
    /// What a reader that meets an event must tell before it.
    infos: Vec<(u64, Info)>,
    /// How often a read has yet to fail.
    failures: u32,
    /// An event that no reader gets past: reads fail.
    broken: Option<u64>,
    /// An event at which the next reader panics.
    panics: Option<u64>,
    /// A DID of which nothing is told, and a target.
    withheld: Option<String>,
}

fn change(
    (operation, cause): (Operation, Option<Cause>),
    record: &str,
    rev: Option<&str>,
    (source, subject): (&str, &str),
    index: usize,
) -> Change {
    Change {
        index: index as u32,
        position: index as u32,
        operation,
        origin: Origin::Live,
        source: source.into(),
        source_record: record.into(),
        source_rev: rev.map(Into::into),
        subject: subject.into(),
        cause,
    }
}

impl Events {
    pub fn len(&self) -> u64 {
        self.state.lock().events.len() as u64
    }

    fn push(
        &self,
        key: u64,
        time_us: Option<u64>,
        plain: Vec<Change>,
        changes: Vec<Change>,
    ) -> u64 {
        let mut state = self.state.lock();
        let seq = state.events.len() as u64 + 1;
        let step = Step {
            key,
            plain,
            changes,
            ..Step::empty(seq, time_us.unwrap_or(TIME_US + seq * 1000))
        };
        state.events.push(vec![step]);
        seq
    }

    /// A record with links, each a source and a subject.
    pub fn create(&self, record: &str, links: &[(&str, &str)]) -> u64 {
        self.create_at(record, links, None)
    }

    pub fn create_at(&self, record: &str, links: &[(&str, &str)], time_us: Option<u64>) -> u64 {
        let changes: Vec<Change> = links
            .iter()
            .enumerate()
            .map(|(i, link)| change((Operation::Create, None), record, Some("3rev"), *link, i))
            .collect();
        self.push(key_of(record), time_us, changes.clone(), changes)
    }

    /// The deletion of a record with links.
    pub fn delete(&self, record: &str, links: &[(&str, &str)]) -> u64 {
        let operation = (Operation::Delete, Some(Cause::Record));
        let changes = links
            .iter()
            .enumerate()
            .map(|(i, link)| change(operation, record, Some("4rev"), *link, i));
        self.push(key_of(record), None, Vec::new(), changes.collect())
    }

    /// The deletion of an account with so many links, in steps of 1,000.
    pub fn delete_account(&self, did: &str, links: usize) -> u64 {
        let mut state = self.state.lock();
        let seq = state.events.len() as u64 + 1;
        let operation = (Operation::Delete, Some(Cause::Account));
        let all: Vec<Change> = (0..links)
            .map(|i| {
                let record = format!("at://{did}/com.ex.like/{i}");
                change(operation, &record, None, (LIKE, "did:plc:x"), i)
            })
            .collect();
        let mut steps: Vec<Step> = all
            .chunks(1000)
            .map(|changes| Step {
                changes: changes.to_vec(),
                is_last: false,
                ..Step::empty(seq, TIME_US + seq * 1000)
            })
            .collect();
        steps.last_mut().unwrap().is_last = true;
        state.events.push(steps);
        seq
    }

    /// Forgets events below a seq.
    pub fn trim(&self, floor: u64) {
        self.state.lock().floor = floor;
    }

    /// Has readers told something before an event.
    pub fn inform(&self, seq: u64, info: Info) {
        self.state.lock().infos.push((seq, info));
    }

    /// Fails all reads that meet an event.
    pub fn break_at(&self, seq: u64) {
        self.state.lock().broken = Some(seq);
    }

    /// Has the next reader that meets an event panic.
    pub fn panic_at(&self, seq: u64) {
        self.state.lock().panics = Some(seq);
    }

    /// Has nothing told of an account and of a target with that name.
    pub fn withhold(&self, name: Option<&str>) {
        self.state.lock().withheld = name.map(str::to_owned);
    }

    /// Fails that many reads.
    pub fn fail(&self, times: u32) {
        self.state.lock().failures = times;
    }
}

fn key_of(record: &str) -> u64 {
    record.bytes().fold(1, |key: u64, byte| {
        key.wrapping_mul(31).wrapping_add(byte.into())
    })
}

pub const LIKE: &str = "com.ex.like:subject.uri";

struct Reader {
    events: Arc<Events>,
    next: u64,
    informed: u64,
    outdated: Option<Info>,
    after: Option<(u64, u32)>,
    /// The steps of the next event that were given.
    given: usize,
}

/// What the server is given.
pub struct EventsFeed(pub Arc<Events>);

impl Feed for EventsFeed {
    fn next_seq(&self) -> u64 {
        self.0.len() + 1
    }

    fn is_withheld(&self, record: &str, subject: &str) -> bool {
        let state = self.0.state.lock();
        let withheld = state.withheld.as_deref();
        withheld.is_some_and(|name| subject == name || record.contains(&format!("/{name}/")))
    }

    fn reader(&self, start: Start, _: Forms) -> Result<Box<dyn StepReader>, IndexError> {
        let state = self.0.state.lock();
        let floor = state.floor.max(1);
        let end = state.events.len() as u64 + 1;
        let time_of = |seq: u64| state.events[seq as usize - 1][0].time_us;
        let wanted = match start {
            Start::Now => end,
            Start::Seq(seq) | Start::After { seq, .. } => seq.min(end),
            Start::Time(time_us) => (1..end).find(|seq| time_of(*seq) >= time_us).unwrap_or(end),
        };
        let outdated = (wanted.max(1) < floor).then(|| Info::OutdatedCursor {
            time_us: time_of(floor),
        });
        let reader = Reader {
            events: Arc::clone(&self.0),
            next: wanted.max(floor),
            informed: 0,
            outdated,
            after: match start {
                Start::After { seq, index } => Some((seq, index)),
                _ => None,
            },
            given: 0,
        };
        Ok(Box::new(reader))
    }
}

impl StepReader for Reader {
    fn next_seq(&self) -> u64 {
        self.next
    }

    fn tells_all_below(&self) -> u64 {
        0
    }

    fn read(
        &mut self,
        most_events: usize,
        before: u64,
        each: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<Read, IndexError> {
        if let Some(info) = self.outdated.take() {
            return Ok(Read::Info(info));
        }
        for _ in 0..most_events {
            let steps = {
                let mut state = self.events.state.lock();
                if state.panics.take_if(|seq| *seq == self.next).is_some() {
                    drop(state);
                    panic!("as the test asked");
                }
                if state.broken == Some(self.next) {
                    return Err(IndexError::Failed("as the test asked".into()));
                }
                if state.failures > 0 {
                    state.failures -= 1;
                    return Err(IndexError::Failed("as the test asked".into()));
                }
                let info = state.infos.iter().find(|(seq, _)| *seq == self.next);
                if let Some((seq, info)) = info
                    && self.informed < *seq
                {
                    self.informed = *seq;
                    return Ok(Read::Info(*info));
                }
                match state.events.get(self.next as usize - 1) {
                    Some(steps) if self.next < before => steps.clone(),
                    _ => return Ok(Read::CaughtUp),
                }
            };
            for mut step in steps.into_iter().skip(self.given) {
                let after = self.after.filter(|(seq, _)| *seq == step.seq);
                step.changes
                    .retain(|change| after.is_none_or(|(_, index)| change.index > index));
                self.given += 1;
                let is_last = step.is_last;
                if each(step).is_break() {
                    if is_last {
                        self.next += 1;
                        self.given = 0;
                    }
                    return Ok(Read::More);
                }
            }
            self.given = 0;
            self.next += 1;
        }
        Ok(Read::More)
    }
}

/// A subscriber.
pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// How a subscription ended: the code and the reason, or neither.
pub type End = Option<(u16, String)>;

impl Client {
    pub async fn open(address: std::net::SocketAddr, query: &str) -> Self {
        let url = format!("ws://{address}/subscribe{query}");
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        Self { socket }
    }

    /// The status and the body of a refusal.
    pub async fn refused(address: std::net::SocketAddr, query: &str) -> (u16, Value) {
        let url = format!("ws://{address}/subscribe{query}");
        match tokio_tungstenite::connect_async(url).await {
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                let status = response.status().as_u16();
                (status, serde_json::from_slice(&body).unwrap())
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    pub async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sets what it wants.
    pub async fn wants(&mut self, payload: Value) {
        let message = serde_json::json!({"type": "options_update", "payload": payload});
        self.send(&message.to_string()).await;
    }

    /// The next frame, or how it ended.
    pub async fn next(&mut self) -> Result<Utf8Bytes, End> {
        let wait = Duration::from_secs(10);
        loop {
            let next = tokio::time::timeout(wait, self.socket.next());
            match next.await.expect("a frame within 10 s") {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.map(|f| (f.code.into(), f.reason.as_str().to_owned()));
                    // The answer to it.
                    let _ = tokio::time::timeout(wait, self.socket.next()).await;
                    return Err(frame);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    pub async fn text(&mut self) -> String {
        match self.next().await {
            Ok(text) => text.as_str().to_owned(),
            Err(end) => panic!("ended: {end:?}"),
        }
    }

    pub async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The subjects of the next frames.
    pub async fn subjects(&mut self, count: usize) -> Vec<String> {
        let mut subjects = Vec::new();
        for _ in 0..count {
            let frame = self.json().await;
            subjects.push(frame["link"]["subject"].as_str().unwrap().to_owned());
        }
        subjects
    }

    /// Reads to the end.
    pub async fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.next().await {
                return end;
            }
        }
    }

    /// Checks that nothing comes for a while.
    pub async fn quiet(&mut self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        while let Ok(next) = tokio::time::timeout_at(until, self.socket.next()).await {
            match next {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("not quiet: {other:?}"),
            }
        }
    }
}
