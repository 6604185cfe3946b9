//! The caller of a request: who it is, and what it may see.

use crate::deploy::{Actor, ControlError};
use crate::tenant::TenantName;

use super::problem::{Kind, Problem};

/// The caller of a request.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The caller, as the audit log names it.
    pub(super) actor: Actor,
    /// What it may see.
    pub(super) scope: Scope,
    /// The id of its token; none for who can open the socket.
    pub(super) token: Option<String>,
}

/// What a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything.
    Operator,
    /// This tenant alone.
    Tenant(TenantName),
}

impl Caller {
    /// The operator at the socket.
    pub(super) fn at_socket() -> Self {
        Self { actor: Actor::socket(), scope: Scope::Operator, token: None }
    }

    /// Refuses everybody but the operator.
    pub(super) fn is_operator(&self) -> Result<(), Problem> {
        match self.scope {
            Scope::Operator => Ok(()),
            Scope::Tenant(_) => Err(Problem::new(Kind::Forbidden, "this is the operator's alone")),
        }
    }

    /// Refuses who may not see this tenant, as if there were none.
    pub(super) fn sees(&self, tenant: &TenantName) -> Result<(), Problem> {
        match &self.scope {
            Scope::Tenant(own) if own != tenant => Err(no_tenant(tenant.as_str())),
            Scope::Operator | Scope::Tenant(_) => Ok(()),
        }
    }
}

/// The problem of a tenant that does not exist.
pub(super) fn no_tenant(name: &str) -> Problem {
    ControlError::NotFound { what: "tenant", name: name.to_owned() }.into()
}
