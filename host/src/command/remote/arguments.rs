//! The arguments of the commands that ask a host over its admin API.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};

use crate::admin::client::HostAddress;
use crate::sandbox::Digest;
use crate::tenant::{NameError, SecretName, TenantName};

#[derive(Debug, Subcommand)]
pub(in crate::command) enum RemoteCommand {
    /// Keep the address of a host, and the token for it, for the commands below.
    ///
    /// The token is read from standard input, and asked of the host once before it is kept, in
    /// ~/.config/jackfield/login.json.
    Login(Login),
    /// Publish a tenant file and its components, and make them live.
    ///
    /// Sends the components that the host does not have, says what would change, and asks before
    /// plugins may do more than they could. Nobody notices the change but the callers of the plugins.
    Deploy(Deploy),
    /// Tell what differs between two revisions.
    Diff(DiffArguments),
    /// List the revisions that are kept, the latest first.
    Revisions(Revisions),
    /// Make the revision live that was live before, or another one that is kept.
    Rollback(Rollback),
    /// Let a held revision go live.
    Approve(Approve),
    /// Tell what is live and what it uses.
    Status(OfTenant),
    /// Tell what happened, the latest last.
    Events(Events),
    /// Make, change and remove tenants.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Make and remove tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Set and remove the secrets of a tenant.
    #[command(subcommand)]
    Secret(SecretCommand),
}

/// The host that is asked.
#[derive(Debug, Clone, Args)]
pub(in crate::command) struct Remote {
    /// The host: unix:PATH, http://127.0.0.1:PORT or https://NAME. Left out, $JACKFIELD_HOST, then that
    /// of the login, then unix:admin.sock.
    #[arg(long, value_name = "URL")]
    pub(super) host: Option<HostAddress>,
    /// A PEM file of certificate authorities to trust, beside the public ones.
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// The host that is asked, and the tenant that it is asked about.
#[derive(Debug, Clone, Args)]
pub(in crate::command) struct OfTenant {
    /// The tenant. Left out, that of the login.
    #[arg(long, value_name = "NAME", value_parser = TenantName::parse)]
    pub(super) tenant: Option<TenantName>,
    #[command(flatten)]
    pub(super) remote: Remote,
}

#[derive(Debug, Args)]
pub(in crate::command) struct Login {
    /// The host: unix:PATH, http://127.0.0.1:PORT or https://NAME.
    #[arg(long, value_name = "URL")]
    pub(super) host: HostAddress,
    /// A PEM file of certificate authorities to trust, beside the public ones.
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// The tenant that commands are about, unless they say another one.
    #[arg(long, value_name = "NAME", value_parser = TenantName::parse)]
    pub(super) tenant: Option<TenantName>,
}

#[derive(Debug, Args)]
pub(in crate::command) struct Deploy {
    /// The tenant file, or the folder of a tenant.toml.
    #[arg(value_name = "DIR|FILE", default_value = ".")]
    pub(super) path: PathBuf,
    /// Say what would change, and change nothing. The components are sent.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask, whatever more the plugins may do.
    #[arg(long)]
    pub(super) yes: bool,
    /// The reason, for those who read what happened.
    #[arg(long, value_name = "TEXT")]
    pub(super) why: Option<String>,
    #[command(flatten)]
    pub(super) of: OfTenant,
}

#[derive(Debug, Args)]
pub(in crate::command) struct DiffArguments {
    /// The earlier revision (left out, the live one) and the later one: each an id, or the first digits
    /// of one.
    #[arg(value_name = "[FROM] TO", num_args = 1..=2, required = true)]
    pub(super) revisions: Vec<RevisionName>,
    #[command(flatten)]
    pub(super) of: OfTenant,
}

#[derive(Debug, Args)]
pub(in crate::command) struct Revisions {
    /// The most that are listed.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub(super) limit: usize,
    #[command(flatten)]
    pub(super) of: OfTenant,
}

#[derive(Debug, Args)]
pub(in crate::command) struct Rollback {
    /// The revision: an id, or the first digits of one. Left out, the one that was live before.
    #[arg(long, value_name = "REVISION")]
    pub(super) to: Option<RevisionName>,
    /// The reason, for those who read what happened.
    #[arg(long, value_name = "TEXT")]
    pub(super) why: Option<String>,
    #[command(flatten)]
    pub(super) of: OfTenant,
}

#[derive(Debug, Args)]
pub(in crate::command) struct Approve {
    /// The revision: an id, or the first digits of one.
    pub(super) revision: RevisionName,
    #[command(flatten)]
    pub(super) of: OfTenant,
}

#[derive(Debug, Args)]
pub(in crate::command) struct Events {
    /// Go on, and tell each event as it happens.
    #[arg(short, long)]
    pub(super) follow: bool,
    /// The most that are told of what has happened already.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub(super) limit: usize,
    /// Those of all tenants, and of the host; the operator's.
    #[arg(long, conflicts_with = "tenant")]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) of: OfTenant,
}

#[derive(Debug, Subcommand)]
pub(in crate::command) enum TenantCommand {
    /// List the tenants.
    List(Remote),
    /// Tell the hosts and the quota of a tenant.
    Show(TenantShow),
    /// Make a tenant, or give it other hosts or another quota. What is left out stays as it is.
    Set(TenantSet),
    /// Remove a tenant with its revisions, artifacts, secrets and key-value data.
    Remove(TenantRemove),
}

#[derive(Debug, Args)]
pub(in crate::command) struct TenantShow {
    /// The tenant.
    #[arg(value_parser = TenantName::parse)]
    pub(super) name: TenantName,
    #[command(flatten)]
    pub(super) remote: Remote,
}

#[derive(Debug, Args)]
pub(in crate::command) struct TenantSet {
    /// The tenant.
    #[arg(value_parser = TenantName::parse)]
    pub(super) name: TenantName,
    /// Its hosts, with `,` between them: shop.example.com,*.shop.example.com
    #[arg(long, value_name = "HOSTS", value_delimiter = ',')]
    pub(super) hosts: Vec<String>,
    /// What of a revision the operator has to approve before it goes live.
    #[arg(long, value_enum)]
    pub(super) approve: Option<Approval>,
    /// A JSON file of its quota.
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) remote: Remote,
}

/// The part of a revision that the operator approves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::command) enum Approval {
    /// Grants and origins that the live revision does not have.
    Grants,
    /// Nothing.
    Nothing,
}

#[derive(Debug, Args)]
pub(in crate::command) struct TenantRemove {
    /// The tenant.
    #[arg(value_parser = TenantName::parse)]
    pub(super) name: TenantName,
    /// Do not ask.
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) remote: Remote,
}

#[derive(Debug, Subcommand)]
pub(in crate::command) enum TokenCommand {
    /// List the tokens, without their texts.
    List(Remote),
    /// Make a token, and print its text, which can be had only now.
    New(TokenNew),
    /// Remove a token: it is not valid any more.
    Remove(TokenRemove),
}

#[derive(Debug, Args)]
pub(in crate::command) struct TokenNew {
    /// A name for it, by which people know it.
    pub(super) name: String,
    /// The tenant whose token it is. Left out, it is the operator's.
    #[arg(long, value_name = "NAME", value_parser = TenantName::parse)]
    pub(super) tenant: Option<TenantName>,
    /// When it ends (RFC 3339): 2027-01-01T00:00:00Z. Left out, never.
    #[arg(long, value_name = "TIME")]
    pub(super) expires: Option<String>,
    #[command(flatten)]
    pub(super) remote: Remote,
}

#[derive(Debug, Args)]
pub(in crate::command) struct TokenRemove {
    /// Its id, as `list` has it.
    pub(super) id: String,
    #[command(flatten)]
    pub(super) remote: Remote,
}

#[derive(Debug, Subcommand)]
pub(in crate::command) enum SecretCommand {
    /// List the names of the secrets.
    List(OfTenant),
    /// Set a secret to what standard input has. Nobody is given the value but the plugins.
    Set(SecretSet),
    /// Remove a secret.
    Remove(SecretRemove),
}

#[derive(Debug, Args)]
pub(in crate::command) struct SecretSet {
    /// The secret.
    #[arg(value_parser = secret_name)]
    pub(super) name: SecretName,
    /// A file whose content is the value, but for one line break at its end.
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) of: OfTenant,
}

#[derive(Debug, Args)]
pub(in crate::command) struct SecretRemove {
    /// The secret.
    #[arg(value_parser = secret_name)]
    pub(super) name: SecretName,
    #[command(flatten)]
    pub(super) of: OfTenant,
}

fn secret_name(text: &str) -> Result<SecretName, NameError> {
    SecretName::parse(text)
}

/// A revision as people name it: its id, or the first digits of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::command) enum RevisionName {
    Whole(Digest),
    /// At least [`LEAST_DIGITS`] digits.
    Beginning(String),
}

/// The fewest digits that name a revision.
const LEAST_DIGITS: usize = 6;

impl FromStr for RevisionName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if let Ok(digest) = format!("sha256:{digits}").parse() {
            return Ok(Self::Whole(digest));
        }
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if (LEAST_DIGITS..64).contains(&digits.len()) && digits.bytes().all(is_digit) {
            return Ok(Self::Beginning(digits.to_owned()));
        }
        Err(format!(
            "a revision is `sha256:` and 64 digits of 0-9 and a-f, or the first {LEAST_DIGITS} at least"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_named_by_its_id_or_its_first_digits() {
        let digits = "0123456789abcdef".repeat(4);
        for text in [digits.clone(), format!("sha256:{digits}")] {
            let whole = RevisionName::Whole(format!("sha256:{digits}").parse().unwrap());
            assert_eq!(text.parse::<RevisionName>(), Ok(whole));
        }
        for text in ["012345", "sha256:012345"] {
            assert_eq!(text.parse::<RevisionName>(), Ok(RevisionName::Beginning("012345".into())));
        }
        for text in ["", "01234", "latest", "ABCDEF", &"0".repeat(65), "sha256:"] {
            assert!(text.parse::<RevisionName>().is_err(), "{text}");
        }
    }
}
