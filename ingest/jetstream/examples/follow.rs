//! Follows a Jetstream server and prints what passes.
//!
//! `cargo run --example follow -- [endpoint [collection...]]`, for example `us-east-1 app.bsky.graph.follow`.
//! Statistics go to standard error every ten seconds.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is the purpose"
)]

use std::time::Duration;

use orrery_jetstream::{Client, Config, Delivery, Error, Event, Handle, Kind, Operation};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let mut config = Config::new(arguments.next().unwrap_or_else(|| "us-east-1".to_owned()));
    config.options.wanted_collections = arguments.collect();

    let mut subscription = Client::new(config)?.subscribe()?;
    let handle = subscription.handle();
    tokio::spawn(report(handle.clone()));
    while let Some(delivery) = subscription.next().await {
        match delivery {
            Delivery::Batch(batch) => {
                for event in batch.events() {
                    match event {
                        Ok(event) => print(&event),
                        Err(reason) => handle.count_malformed(reason),
                    }
                }
            }
            Delivery::Connected {
                endpoint,
                cursor: Some(cursor),
            } => {
                eprintln!("connected to {endpoint} at {cursor}");
            }
            Delivery::Connected {
                endpoint,
                cursor: None,
            } => eprintln!("connected to {endpoint}, live"),
            Delivery::Disconnected { error, retry_in } => {
                eprintln!("{error}; next attempt in {retry_in:?}")
            }
            Delivery::Failed(error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn print(event: &Event<'_>) {
    match &event.kind {
        Kind::Commit(commit) => {
            let (name, bytes) = match &commit.operation {
                Operation::Create { record, .. } => ("create", record.len()),
                Operation::Update { record, .. } => ("update", record.len()),
                Operation::Delete => ("delete", 0),
            };
            println!(
                "{name} at://{}/{}/{} {bytes} bytes",
                event.did, commit.collection, commit.rkey
            );
        }
        Kind::Identity(identity) => {
            println!(
                "identity {} {}",
                event.did,
                identity.handle.as_deref().unwrap_or("-")
            );
        }
        Kind::Account(account) => {
            let status = account.status.as_deref().unwrap_or("-");
            println!("account {} active {} {status}", event.did, account.active);
        }
    }
}

async fn report(handle: Handle) {
    loop {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let stats = handle.stats();
        eprintln!(
            "{:.0} frames/s, {} waiting, lag {:?}, {} malformed",
            stats.frames_per_second,
            stats.queue_frames,
            stats.lag().unwrap_or_default(),
            stats.malformed.iter().sum::<u64>(),
        );
    }
}
