//! Slots for connections: a number for the host, and a number for each client.
//!
//! A client is an address; in IPv6 it is the address's /64, because a customer usually gets a whole /64.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of one host.
pub(in crate::listen) struct ConnectionSlots {
    all: Arc<Semaphore>,
    clients: Arc<Clients>,
}

struct Clients {
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One slot of a client; free again when it is dropped.
pub(in crate::listen) struct ClientSlot {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl ConnectionSlots {
    pub(in crate::listen) fn new(all: usize, of_a_client: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS))),
            clients: Arc::new(Clients { most: of_a_client, open: Mutex::default() }),
        }
    }

    /// The next slot of the host; waits until one is free.
    pub(in crate::listen) async fn any(&self) -> OwnedSemaphorePermit {
        loop {
            // The semaphore is never closed.
            if let Ok(slot) = self.all.clone().acquire_owned().await {
                return slot;
            }
        }
    }

    /// A slot of this client; none if the client has as many as it may.
    pub(in crate::listen) fn of(&self, client: IpAddr) -> Option<ClientSlot> {
        let client = customer(client);
        let mut open = self.clients.open();
        let slots = open.entry(client).or_default();
        if *slots >= self.clients.most {
            return None;
        }
        *slots = slots.saturating_add(1);
        drop(open);
        Some(ClientSlot { clients: self.clients.clone(), client })
    }
}

impl Clients {
    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        if let Entry::Occupied(mut slots) = self.clients.open().entry(self.client) {
            match slots.get().saturating_sub(1) {
                0 => drop(slots.remove()),
                left => drop(slots.insert(left)),
            }
        }
    }
}

/// The customer of a provider at this address: in IPv6 the address's /64, because a customer usually gets a whole /64.
pub fn customer(client: IpAddr) -> IpAddr {
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
    fn a_client_has_so_many_slots_and_gets_them_back() {
        let slots = ConnectionSlots::new(10, 2);
        let at = |text: &str| slots.of(text.parse().unwrap());
        let first = at("192.0.2.1");
        let second = at("::ffff:192.0.2.1");
        assert!(first.is_some() && second.is_some());
        assert!(at("192.0.2.1").is_none());
        assert!(at("192.0.2.2").is_some());
        drop(first);
        assert!(at("192.0.2.1").is_some());
        drop(second);
        assert!(slots.clients.open().is_empty());
    }

    #[test]
    fn what_one_customer_is_given_of_ipv6_is_one_client() {
        let slots = ConnectionSlots::new(10, 1);
        let at = |text: &str| slots.of(text.parse().unwrap());
        let held = at("2001:db8:0:1::1");
        assert!(held.is_some());
        assert!(at("2001:db8:0:1:ffff::2").is_none());
        assert!(at("2001:db8:0:2::1").is_some());
    }
}
