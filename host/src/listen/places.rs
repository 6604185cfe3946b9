//! Places for connections: so many in all, and so many of one client.
//!
//! A client is an address; of IPv6 the /64 that it is in, for that is what one customer is given.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of one host; clones share them.
#[derive(Clone)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    clients: Arc<Clients>,
}

struct Clients {
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One place of a client; free again when it is dropped.
pub(super) struct ClientPlace {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Places {
    pub(super) fn new(all: usize, of_a_client: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS))),
            clients: Arc::new(Clients { most: of_a_client, open: Mutex::default() }),
        }
    }

    /// The next place of all; waits until one is free.
    pub(super) async fn any(&self) -> OwnedSemaphorePermit {
        loop {
            // It is never closed.
            if let Ok(place) = self.all.clone().acquire_owned().await {
                return place;
            }
        }
    }

    /// A place of this client's; none if it has as many as it may.
    pub(super) fn of(&self, client: IpAddr) -> Option<ClientPlace> {
        let client = customer(client);
        let mut open = self.clients.open();
        let places = open.entry(client).or_default();
        if *places >= self.clients.most {
            return None;
        }
        *places = places.saturating_add(1);
        drop(open);
        Some(ClientPlace { clients: self.clients.clone(), client })
    }
}

impl Clients {
    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        if let Entry::Occupied(mut places) = self.clients.open().entry(self.client) {
            match places.get().saturating_sub(1) {
                0 => drop(places.remove()),
                left => drop(places.insert(left)),
            }
        }
    }
}

fn customer(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_places_and_gets_them_back() {
        let places = Places::new(10, 2);
        let at = |text: &str| places.of(text.parse().unwrap());
        let first = at("192.0.2.1");
        let second = at("::ffff:192.0.2.1");
        assert!(first.is_some() && second.is_some());
        assert!(at("192.0.2.1").is_none());
        assert!(at("192.0.2.2").is_some());
        drop(first);
        assert!(at("192.0.2.1").is_some());
        drop(second);
        assert!(places.clients.open().is_empty());
    }

    #[test]
    fn what_one_customer_is_given_of_ipv6_is_one_client() {
        let places = Places::new(10, 1);
        let at = |text: &str| places.of(text.parse().unwrap());
        let held = at("2001:db8:0:1::1");
        assert!(held.is_some());
        assert!(at("2001:db8:0:1:ffff::2").is_none());
        assert!(at("2001:db8:0:2::1").is_some());
    }
}
