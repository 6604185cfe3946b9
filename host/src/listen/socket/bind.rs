//! Binding: from an address to a socket that listens, or the reason why there is none, with a hint.
//!
//! A hint claims only what the system has said: an address in use does not tell which process uses it.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, lchown};
use std::path::Path;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket, UnixStream};

use super::address::Address;

/// The most connections that the system queues until they are accepted; it may allow fewer.
const BACKLOG: u32 = 4096;

/// The file that names the system's groups.
const GROUPS: &str = "/etc/group";

/// The reason why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}{hint}")]
pub struct BindError {
    address: Address,
    reason: io::Error,
    hint: String,
}

/// The permissions of a Unix socket: the users who may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// The nine bits of chmod(1).
    pub mode: u32,
    /// The group, by name or number; the system's choice if there is none.
    pub group: Option<String>,
}

impl BindError {
    /// An error with a hint from the reason, and from the addresses that this host listens on already.
    pub(in crate::listen) fn new(address: Address, reason: io::Error, others: &[Address]) -> Self {
        let hint = match &address {
            Address::Tcp(tcp) => tcp_hint(*tcp, &reason, others),
            Address::Unix(_) => unix_hint(&reason).to_owned(),
        };
        Self { address, reason, hint }
    }

    /// An error of a socket that was handed over, or of a part of the host that is no socket.
    pub(in crate::listen) fn without_hint(address: Address, reason: io::Error) -> Self {
        Self { address, reason, hint: String::new() }
    }
}

/// Listens at `address`, and at an IPv6 address for IPv6 alone: for both families a site file has two addresses.
pub(in crate::listen) fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    // An IPv4 address that is mapped into IPv6 counts as IPv4.
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // Connections that ended a moment ago are not in the way.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Listens at `path`. A socket that a dead process left behind is replaced.
pub(super) async fn unix(path: &Path, permissions: &Permissions) -> io::Result<UnixListener> {
    let mut socket = UnixSocket::new_stream()?;
    if let Err(error) = socket.bind(path) {
        if error.kind() != io::ErrorKind::AddrInUse {
            return Err(error);
        }
        remove_if_dead(path, error).await?;
        socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
    }
    // A client cannot connect before `listen`: at no moment is the socket more open than intended.
    let listening = permissions.give(path).and_then(|()| socket.listen(BACKLOG));
    if listening.is_err() {
        let _ = std::fs::remove_file(path);
    }
    listening
}

impl Permissions {
    fn give(&self, path: &Path) -> io::Result<()> {
        let refused = |what: String| move |error: io::Error| io::Error::other(format!("{what}: {error}"));
        if let Some(group) = &self.group {
            let id = group_id(group)?;
            let what = format!("cannot give it to the group `{group}`, which the host's user must be in");
            lchown(path, None, Some(id)).map_err(refused(what))?;
        }
        let mode = std::fs::Permissions::from_mode(self.mode);
        let what = format!("cannot give it the mode {:04o}", self.mode);
        std::fs::set_permissions(path, mode).map_err(refused(what))
    }
}

/// The number of a group of this system, given by the group's name or that number.
pub fn group_id(group: &str) -> io::Result<u32> {
    if let Ok(id) = group.parse() {
        return Ok(id);
    }
    let groups = std::fs::read_to_string(GROUPS).map_err(|error| {
        io::Error::other(format!("cannot look for the group `{group}` in {GROUPS}: {error}"))
    })?;
    let id = |line: &str| {
        let mut fields = line.split(':');
        fields.next().filter(|name| *name == group)?;
        fields.nth(1)?.parse().ok()
    };
    let unknown =
        || io::Error::other(format!("{GROUPS} has no group `{group}`: name one of it, or a number"));
    groups.lines().find_map(id).ok_or_else(unknown)
}

async fn remove_if_dead(path: &Path, taken: io::Error) -> io::Result<()> {
    if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there"));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        // The queue of the socket's owner is full.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(taken),
        Err(error) => {
            let why = format!("a socket is there, and whether anybody listens at it is not known: {error}");
            Err(io::Error::new(io::ErrorKind::AlreadyExists, why))
        }
        Ok(_) => Err(taken),
    }
}

fn tcp_hint(address: SocketAddr, reason: &io::Error, others: &[Address]) -> String {
    const FIRST_FOR_ALL: u16 = 1024;
    let port = address.port();
    match Errno::from_io_error(reason) {
        Some(Errno::ADDRINUSE) => match others.iter().find(|other| other.overlaps(address)) {
            Some(other) => {
                format!("; this host listens on {other} already, and the two overlap: keep one in [host]")
            }
            None => format!(
                "; port {port} is taken, at this address or at every one: `ss -ltnp` shows by whom; choose \
                 another in [host], or end what has it"
            ),
        },
        Some(Errno::ACCESS | Errno::PERM) if port < FIRST_FOR_ALL => {
            "; ports below 1024 take a privilege (CAP_NET_BIND_SERVICE): choose a higher one in [host]"
                .to_owned()
        }
        Some(Errno::ACCESS | Errno::PERM) => {
            "; something around this process forbids it: a security module, a container, its own confinement"
                .to_owned()
        }
        Some(Errno::ADDRNOTAVAIL) => {
            let every = if address.is_ipv4() { "0.0.0.0" } else { "[::]" };
            format!(
                "; this machine has no such address, or not yet: name one that it has, or every one, as in \
                 \"{every}:{port}\""
            )
        }
        Some(Errno::AFNOSUPPORT) if address.is_ipv6() => {
            "; this system has no IPv6: take the address away from [host]".to_owned()
        }
        reason => of_the_process(reason).to_owned(),
    }
}

fn unix_hint(reason: &io::Error) -> &'static str {
    match Errno::from_io_error(reason) {
        // The socket was tried: a process answers, or its queue is full.
        Some(Errno::ADDRINUSE) => "; a process listens there: end it, or choose another path in [host]",
        Some(Errno::ACCESS | Errno::PERM) => {
            "; the host's user must be permitted to make files in the socket's folder"
        }
        Some(Errno::NOENT | Errno::NOTDIR) => "; the socket's folder must be there",
        Some(Errno::ROFS) => "; its file system is read-only: choose another path in [host]",
        None if reason.kind() == io::ErrorKind::AlreadyExists => {
            "; remove it, or choose another path in [host]"
        }
        reason => of_the_process(reason),
    }
}

fn of_the_process(reason: Option<Errno>) -> &'static str {
    match reason {
        Some(Errno::MFILE) => "; raise `ulimit -n` (systemd: LimitNOFILE=)",
        Some(Errno::NFILE) => "; the whole system has no descriptors left: raise the sysctl fs.file-max",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_hint_says_what_is_known_and_no_more() {
        let own = [Address::Tcp(at("127.0.0.1:80")), Address::Tcp(at("[::]:81"))];
        for (address, errno, said) in [
            ("0.0.0.0:80", Errno::ADDRINUSE, "this host listens on 127.0.0.1:80 already"),
            ("0.0.0.0:81", Errno::ADDRINUSE, "this host listens on [::]:81 already"),
            ("127.0.0.2:80", Errno::ADDRINUSE, "port 80 is taken"),
            ("[::1]:80", Errno::ADDRINUSE, "port 80 is taken"),
            ("0.0.0.0:443", Errno::ACCESS, "ports below 1024"),
            ("0.0.0.0:8443", Errno::ACCESS, "something around this process"),
            ("192.0.2.1:80", Errno::ADDRNOTAVAIL, "\"0.0.0.0:80\""),
            ("[2001:db8::1]:80", Errno::ADDRNOTAVAIL, "\"[::]:80\""),
            ("[::]:80", Errno::AFNOSUPPORT, "has no IPv6"),
            ("[::]:80", Errno::MFILE, "ulimit -n"),
        ] {
            let hint = tcp_hint(at(address), &errno.into(), &own);
            assert!(hint.contains(said), "{address} {errno}: {hint}");
        }
        for (errno, said) in [
            (Errno::ACCESS, "make files in the socket's folder"),
            (Errno::NOTDIR, "folder must be there"),
            (Errno::ROFS, "read-only"),
        ] {
            let hint = unix_hint(&errno.into());
            assert!(hint.contains(said) && !hint.contains("port"), "{errno}: {hint}");
        }
        assert_eq!(tcp_hint(at("0.0.0.0:80"), &Errno::NOBUFS.into(), &own), "");
    }

    #[test]
    fn a_group_is_found_by_name_and_by_number() {
        assert_eq!(group_id("4711").unwrap(), 4711);
        let told = group_id("no such group here").unwrap_err().to_string();
        assert!(told.contains("/etc/group has no group"), "{told}");
    }
}
