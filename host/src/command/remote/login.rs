//! `jackfield login`: keeps the address of a host, and a token that the host takes.

use super::super::answer::{Exit, say};
use super::access::Surroundings;
use super::arguments::Login;
use super::failure::Failure;
use super::input::hidden_value;
use super::login_file::StoredLogin;
use crate::admin::client::{Client, HostAddress, authorities};

pub(super) async fn run(login: &Login, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let file = surroundings.login_file()?;
    let token = match &login.host {
        HostAddress::Unix(_) => None,
        host => {
            host.check_token().map_err(Failure::refused)?;
            let typed = hidden_value(&format!("token for {host}"))?;
            Some(typed.trim().parse().map_err(Failure::refused)?)
        }
    };
    let absolute = |path| std::path::absolute(path).map_err(Failure::refused);
    let host = match &login.host {
        // Later commands run in other folders.
        HostAddress::Unix(path) => HostAddress::Unix(absolute(path)?),
        host => host.clone(),
    };
    let ca = login.ca.as_ref().map(absolute).transpose()?;
    let trusted = authorities(ca.as_deref()).map_err(Failure::refused)?;
    let client = Client::new(host.clone(), token.clone(), trusted)?;
    client.check_token().await?;
    if let Some(tenant) = &login.tenant {
        client.of(tenant).show().await?;
    }
    StoredLogin { host, token, tenant: login.tenant.clone(), ca }.write(file).map_err(Failure::refused)?;
    let about = login.tenant.as_ref().map(|tenant| format!(", tenant {tenant}")).unwrap_or_default();
    say(format_args!("logged in to {}{about}; kept in {}", client.address(), file.display()));
    Ok(Exit::Done)
}
