//! The host that a command asks, the token that it sends, and the tenant that it is about.
//!
//! | | first of these that is there |
//! |---|---|
//! | host | `--host`, `JACKFIELD_HOST`, the login's, `unix:admin.sock` |
//! | token | `JACKFIELD_TOKEN`, the login's if the host is the login's |
//! | tenant | `--tenant`, the login's if the host is the login's |
//! | authorities | `--ca`, the login's if the host is the login's |
//!
//! A login is for its own host: nothing of it goes to another one.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::arguments::{OfTenant, Remote};
use super::failure::Failure;
use super::login_file::StoredLogin;
use crate::admin::client::{Client, HostAddress, Token, authorities};
use crate::tenant::TenantName;

/// Where a host's socket is, if nothing says it.
const DEFAULT_HOST: &str = "unix:admin.sock";

/// The part of the environment that such a command reads.
#[derive(Debug, Clone, Default)]
pub(in crate::command) struct Surroundings {
    host: Option<OsString>,
    token: Option<OsString>,
    /// The login's file; none if there is no home.
    login: Option<PathBuf>,
}

impl Surroundings {
    /// Picks it from the whole environment.
    pub(in crate::command) fn of(environment: &[(OsString, OsString)]) -> Self {
        let variable = |name: &str| {
            let found = environment.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        // A relative path there is invalid, and ignored (XDG Base Directory Specification).
        let configured = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = configured.or_else(|| Some(Path::new(&variable("HOME")?).join(".config")));
        Self {
            host: variable("JACKFIELD_HOST"),
            token: variable("JACKFIELD_TOKEN"),
            login: folder.map(|folder| folder.join("jackfield/login.json")),
        }
    }

    /// The login's file.
    pub(super) fn login_file(&self) -> Result<&Path, Failure> {
        let none =
            || Failure::refused("there is no place for a login: neither HOME nor XDG_CONFIG_HOME is set");
        self.login.as_deref().ok_or_else(none)
    }
}

/// A client, and the tenant that it is about if the command names none.
pub(super) struct Access {
    pub(super) client: Client,
    pub(super) tenant: Option<TenantName>,
}

/// The parts of an access, before anything is opened.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    host: HostAddress,
    token: Option<Token>,
    tenant: Option<TenantName>,
    ca: Option<PathBuf>,
}

impl Access {
    /// The access that the options, the environment and the login give.
    pub(super) fn open(remote: &Remote, surroundings: &Surroundings) -> Result<Self, Failure> {
        let Choice { host, token, tenant, ca } = choose(remote, surroundings)?;
        let authorities = authorities(ca.as_deref()).map_err(Failure::refused)?;
        Ok(Self { client: Client::new(host, token, authorities)?, tenant })
    }

    /// The access to one tenant.
    pub(super) fn open_tenant(
        of: &OfTenant,
        surroundings: &Surroundings,
    ) -> Result<(Client, TenantName), Failure> {
        let Self { client, tenant } = Self::open(&of.remote, surroundings)?;
        let tenant = of.tenant.clone().or(tenant).ok_or_else(|| {
            Failure::Usage(
                "which tenant? say it by --tenant NAME, or once by `jackfield login --tenant NAME`".into(),
            )
        })?;
        Ok((client, tenant))
    }
}

fn choose(remote: &Remote, surroundings: &Surroundings) -> Result<Choice, Failure> {
    let named = match (&remote.host, &surroundings.host) {
        (Some(host), _) => Some(host.clone()),
        (None, Some(text)) => Some(
            text.to_string_lossy()
                .parse()
                .map_err(|error| Failure::Usage(format!("the variable JACKFIELD_HOST: {error}")))?,
        ),
        (None, None) => None,
    };
    // A socket takes no token, so nothing of a login is needed for one that is named.
    let is_socket = matches!(named, Some(HostAddress::Unix(_)));
    let login = match &surroundings.login {
        Some(path) if !is_socket => StoredLogin::read(path).map_err(Failure::refused)?,
        _ => None,
    };
    let login = login.filter(|login| named.as_ref().is_none_or(|named| *named == login.host));
    let token = surroundings.token.as_deref().map(token_of).transpose()?;
    let (host, of_login) = match (named, login) {
        (Some(host), login) => (host, login),
        (None, Some(login)) => (login.host.clone(), Some(login)),
        (None, None) => (DEFAULT_HOST.parse().map_err(Failure::refused)?, None),
    };
    let (kept, tenant, ca) = match of_login {
        Some(StoredLogin { token, tenant, ca, host: _ }) => (token, tenant, ca),
        None => (None, None, None),
    };
    Ok(Choice { host, token: token.or(kept), tenant, ca: remote.ca.clone().or(ca) })
}

fn token_of(text: &OsStr) -> Result<Token, Failure> {
    let token = text.to_str().unwrap_or_default().parse();
    token.map_err(|error| Failure::Usage(format!("the variable JACKFIELD_TOKEN: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: &str =
        r#"{"host": "https://host.example", "token": "jf_login", "tenant": "shop", "ca": "/ca.pem"}"#;

    fn chosen(host: Option<&str>, variables: &[(&str, &str)], login: Option<&str>) -> Result<Choice, String> {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jackfield/login.json");
        if let Some(login) = login {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, login).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let mut environment = vec![("XDG_CONFIG_HOME".into(), folder.path().as_os_str().to_owned())];
        environment.extend(variables.iter().map(|(name, value)| (name.into(), value.into())));
        let remote = Remote { host: host.map(|host| host.parse().unwrap()), ca: None, json: false };
        choose(&remote, &Surroundings::of(&environment)).map_err(|failure| format!("{failure:?}"))
    }

    fn choice(host: &str, token: Option<&str>, is_logged_in: bool) -> Choice {
        Choice {
            host: host.parse().unwrap(),
            token: token.map(|token| token.parse().unwrap()),
            tenant: is_logged_in.then(|| TenantName::parse("shop").unwrap()),
            ca: is_logged_in.then(|| "/ca.pem".into()),
        }
    }

    #[test]
    fn the_first_place_that_says_it_wins() {
        const HOST: &str = "JACKFIELD_HOST";
        const TOKEN: (&str, &str) = ("JACKFIELD_TOKEN", "jf_variable");
        const HERE: &str = "http://127.0.0.1:9090";
        const MINE: &str = "https://host.example";
        let variable = Some("jf_variable");
        for (host, variables, login, expected) in [
            (None, &[][..], None, choice("unix:admin.sock", None, false)),
            (None, &[], Some(LOGIN), choice(MINE, Some("jf_login"), true)),
            (None, &[(HOST, HERE)], None, choice(HERE, None, false)),
            (None, &[(HOST, HERE), TOKEN], Some(LOGIN), choice(HERE, variable, false)),
            // A login's token is for its own host alone.
            (None, &[(HOST, HERE)], Some(LOGIN), choice(HERE, None, false)),
            (Some(HERE), &[(HOST, MINE)], Some(LOGIN), choice(HERE, None, false)),
            (Some(MINE), &[(HOST, HERE)], Some(LOGIN), choice(MINE, Some("jf_login"), true)),
            (Some(MINE), &[TOKEN], Some(LOGIN), choice(MINE, variable, true)),
            (None, &[(HOST, "")], Some(LOGIN), choice(MINE, Some("jf_login"), true)),
            // A broken login is no obstacle to a socket.
            (Some("unix:a.sock"), &[], Some("broken"), choice("unix:a.sock", None, false)),
        ] {
            assert_eq!(chosen(host, variables, login), Ok(expected), "{host:?} {variables:?}");
        }
    }

    #[test]
    fn a_token_that_is_none_is_refused_and_not_shown() {
        for variables in [&[("JACKFIELD_TOKEN", "hunter2")][..], &[("JACKFIELD_HOST", "host.example")]] {
            let said = chosen(None, variables, None).unwrap_err();
            assert!(said.contains(variables[0].0) && !said.contains("hunter2"), "{said}");
        }
        assert!(chosen(None, &[], Some("broken")).unwrap_err().contains("is not a login"));
    }
}
