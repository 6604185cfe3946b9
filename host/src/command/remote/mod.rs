//! The commands that ask a host over its admin API.
//!
//! | file | owns |
//! |---|---|
//! | `arguments.rs` | the arguments, and the words of their help |
//! | `access.rs` | the host, the token and the tenant of a command |
//! | `login_file.rs` | the file that keeps them |
//! | `failure.rs` | the ways in which a command fails, and how each is shown |
//! | `input.rs` | what people type, and what is piped in |
//! | `components.rs` | the components of a tenant file, and their way to the host |
//! | `changes.rs` | the difference between two revisions in words |
//! | `table.rs` | texts in columns |
//! | others | a command each, by its name |

mod access;
mod arguments;
mod changes;
mod components;
mod deploy;
mod events;
mod failure;
mod input;
mod login;
mod login_file;
mod revisions;
mod rollback;
mod secret;
mod status;
mod table;
mod tenant;
mod token;

pub(super) use access::Surroundings;
pub(super) use arguments::RemoteCommand;

use super::answer::{Colours, Exit, refuse};
use super::serve::end_where_there_is_no_thread;
use arguments::{Remote, SecretCommand, TenantCommand, TokenCommand};
use failure::Failure;

/// Runs a command, and shows its failure.
pub(super) fn run(command: &RemoteCommand, surroundings: &Surroundings, colours: Colours) -> Exit {
    end_where_there_is_no_thread();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(format_args!("cannot start the runtime: {error}")),
    };
    let ended = runtime.block_on(ended(command, surroundings, colours));
    // A lookup of a name, or a file that is read, is nobody's any more.
    runtime.shutdown_background();
    let json = remote(command).is_some_and(|remote| remote.json);
    ended.unwrap_or_else(|failure| failure.show(json, colours))
}

async fn ended(
    command: &RemoteCommand,
    surroundings: &Surroundings,
    colours: Colours,
) -> Result<Exit, Failure> {
    match command {
        RemoteCommand::Login(login) => login::run(login, surroundings).await,
        RemoteCommand::Deploy(deploy) => deploy::run(deploy, surroundings, colours).await,
        RemoteCommand::Diff(diff) => revisions::diff(diff, surroundings).await,
        RemoteCommand::Revisions(revisions) => revisions::list(revisions, surroundings).await,
        RemoteCommand::Rollback(rollback) => rollback::run(rollback, surroundings).await,
        RemoteCommand::Approve(approve) => revisions::approve(approve, surroundings).await,
        RemoteCommand::Status(of) => status::run(of, surroundings).await,
        RemoteCommand::Events(events) => events::run(events, surroundings).await,
        RemoteCommand::Tenant(command) => tenant::run(command, surroundings).await,
        RemoteCommand::Token(command) => token::run(command, surroundings).await,
        RemoteCommand::Secret(command) => secret::run(command, surroundings).await,
    }
}

/// The options of a command that all but `login` have.
fn remote(command: &RemoteCommand) -> Option<&Remote> {
    Some(match command {
        RemoteCommand::Login(_) => return None,
        RemoteCommand::Deploy(deploy) => &deploy.of.remote,
        RemoteCommand::Diff(diff) => &diff.of.remote,
        RemoteCommand::Revisions(revisions) => &revisions.of.remote,
        RemoteCommand::Rollback(rollback) => &rollback.of.remote,
        RemoteCommand::Approve(approve) => &approve.of.remote,
        RemoteCommand::Status(of) => &of.remote,
        RemoteCommand::Events(events) => &events.of.remote,
        RemoteCommand::Tenant(command) => match command {
            TenantCommand::List(remote) => remote,
            TenantCommand::Show(show) => &show.remote,
            TenantCommand::Set(set) => &set.remote,
            TenantCommand::Remove(remove) => &remove.remote,
        },
        RemoteCommand::Token(command) => match command {
            TokenCommand::List(remote) => remote,
            TokenCommand::New(new) => &new.remote,
            TokenCommand::Remove(remove) => &remove.remote,
        },
        RemoteCommand::Secret(command) => match command {
            SecretCommand::List(of) => &of.remote,
            SecretCommand::Set(set) => &set.of.remote,
            SecretCommand::Remove(remove) => &remove.of.remote,
        },
    })
}
