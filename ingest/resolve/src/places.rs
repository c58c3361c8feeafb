//! How much of the client as a whole goes to one address.
//!
//! Owns the places for requests under way. Limits by host alone would not keep hosts from blocking each other: names
//! cost nothing, so one server that does not answer can have as many of them as the client has places. It does not have
//! as many addresses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of a client.
#[derive(Clone)]
pub(crate) struct Places {
    shared: Arc<Shared>,
}

struct Shared {
    all: Arc<Semaphore>,
    per_address: usize,
    waiting: usize,
    /// Has an entry for each address with a request that runs or waits, and no other.
    addresses: Mutex<HashMap<IpAddr, OfAddress>>,
}

struct OfAddress {
    places: Arc<Semaphore>,
    /// Those who run, wait, or are about to.
    asking: usize,
}

/// One request under way. Its place is free again when this is dropped.
pub(crate) struct Place {
    shared: Arc<Shared>,
    address: IpAddr,
    held: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Places {
    /// So many places, so many of them for one address, and so many more who may wait for those.
    pub(crate) fn new(all: usize, per_address: usize, waiting: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                all: Arc::new(Semaphore::new(all)),
                per_address,
                waiting,
                addresses: Mutex::default(),
            }),
        }
    }

    /// Waits for a place, first among those who ask this address and then among all. `None`: too many wait for the address.
    pub(crate) async fn take(&self, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let of_address = {
            let mut addresses = self.shared.addresses.lock();
            let of = addresses.entry(address).or_insert_with(|| OfAddress {
                places: Arc::new(Semaphore::new(self.shared.per_address)),
                asking: 0,
            });
            if of.asking >= self.shared.per_address.saturating_add(self.shared.waiting) {
                return None;
            }
            of.asking += 1;
            Arc::clone(&of.places)
        };
        // From here on it is counted out again, also if the caller does not wait to the end.
        let mut place = Place {
            shared: Arc::clone(&self.shared),
            address,
            held: None,
        };
        // Neither is ever closed, so both only end with a place.
        let first = of_address.acquire_owned().await;
        let second = Arc::clone(&self.shared.all).acquire_owned().await;
        place.held = first.ok().zip(second.ok());
        Some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.held = None;
        let mut addresses = self.shared.addresses.lock();
        let Some(of) = addresses.get_mut(&self.address) else {
            return;
        };
        of.asking = of.asking.saturating_sub(1);
        if of.asking == 0 {
            addresses.remove(&self.address);
        }
    }
}

/// What one owner has as a whole: an IPv4 address, the first 48 bits of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 80 << 80).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn free(places: &Places, address: &str) -> Option<Place> {
        let take = places.take(address.parse().unwrap());
        tokio::time::timeout(Duration::from_millis(10), take)
            .await
            .ok()
            .flatten()
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_gets_its_share_and_leaves_the_rest() {
        let places = Places::new(5, 2, 10);
        let first = free(&places, "192.0.2.1").await.unwrap();
        let _second = free(&places, "::ffff:192.0.2.1").await.unwrap();
        assert!(free(&places, "192.0.2.1").await.is_none());
        let _third = free(&places, "2001:db8:0:1::1").await.unwrap();
        let _fourth = free(&places, "2001:db8:0:2::1").await.unwrap();
        assert!(free(&places, "2001:db8:0:3::1").await.is_none());
        let _fifth = free(&places, "2001:db8:1::1").await.unwrap();
        assert!(free(&places, "192.0.2.2").await.is_none());
        drop(first);
        assert!(free(&places, "192.0.2.2").await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_nobody_asks_are_not_remembered() {
        let places = Places::new(2, 1, 10);
        for round in 0..100 {
            let address = format!("192.0.2.{round}");
            let held = free(&places, &address).await.unwrap();
            // Two that wait and give up, one of them in the longer queue.
            assert!(free(&places, &address).await.is_none());
            let other = free(&places, "198.51.100.1").await.unwrap();
            assert!(free(&places, "198.51.100.2").await.is_none());
            assert_eq!(places.shared.addresses.lock().len(), 2);
            drop((held, other));
        }
        assert!(places.shared.addresses.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn those_beyond_who_may_wait_for_one_address_are_told_at_once() {
        let places = Places::new(9, 1, 2);
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let held = places.take(address).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let places = places.clone();
            waiting.push(tokio::spawn(async move { places.take(address).await }));
        }
        tokio::task::yield_now().await;
        assert!(places.take(address).await.is_none());
        assert!(places.take("192.0.2.2".parse().unwrap()).await.is_some());
        drop(held);
        for task in waiting {
            assert!(task.await.unwrap().is_some());
        }
        assert!(places.take(address).await.is_some());
        assert!(places.shared.addresses.lock().is_empty());
    }
}
