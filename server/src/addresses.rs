//! How many places each client address has, of connections or of subscriptions, so that one client does not take those of all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::rate::network;

/// The places of each address that has any.
#[derive(Default)]
pub(crate) struct Addresses(Mutex<HashMap<IpAddr, usize>>);

/// One place of an address, as long as it lives.
pub(crate) struct Entered {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    /// Counts one more. `None` if the address has `most` already; nothing is counted of loopback addresses.
    pub(crate) fn enter(self: &Arc<Self>, client: IpAddr, most: usize) -> Option<Option<Entered>> {
        let address = network(client);
        if address.is_loopback() {
            return Some(None);
        }
        let mut counts = self.0.lock();
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Some(Entered {
            addresses: Arc::clone(self),
            address,
        }))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut counts = self.addresses.0.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_and_gets_them_back_and_this_machine_any_number() {
        let addresses = Arc::<Addresses>::default();
        let enter = |address: &str| addresses.enter(address.parse().unwrap(), 2);
        let mut entered = Vec::new();
        for address in ["192.0.2.1", "2001:db8::1"] {
            entered.push(enter(address).unwrap());
            entered.push(enter(address).unwrap());
        }
        for address in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::2"] {
            assert!(enter(address).is_none(), "{address}");
        }
        for address in ["192.0.2.2", "2001:db8:0:1::1", "127.0.0.1", "::1"] {
            assert!(enter(address).is_some(), "{address}");
        }
        for _ in 0..5 {
            entered.push(enter("127.0.0.1").unwrap());
        }
        entered.remove(0);
        assert!(enter("192.0.2.1").is_some());
        drop(entered);
        assert!(addresses.0.lock().is_empty());
    }
}
