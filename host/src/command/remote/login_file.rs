//! The login: a file with the address of a host, a token for it, and a tenant.
//!
//! Only its owner may read it. It is replaced as a whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::admin::client::{HostAddress, Token};
use crate::tenant::TenantName;

/// The longest login, in bytes.
const MAX_LOGIN_BYTES: u64 = 64 * 1024;

/// A login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredLogin {
    pub(super) host: HostAddress,
    /// A Unix socket takes none.
    pub(super) token: Option<Token>,
    /// The tenant that commands are about, unless they say another one.
    pub(super) tenant: Option<TenantName>,
    /// The PEM file of authorities, absolute.
    pub(super) ca: Option<PathBuf>,
}

/// The reason why a login cannot be used or kept.
#[derive(Debug, Error)]
pub(super) enum LoginError {
    #[error("the login {} cannot be read: {reason}", path.display())]
    Read { path: PathBuf, reason: io::Error },
    #[error("others may read the login {}; `chmod 600` it, and replace the token", .0.display())]
    Open(PathBuf),
    #[error("{} is not a login: {why}; `jackfield login` writes it anew", path.display())]
    Form { path: PathBuf, why: String },
    #[error("the login {} cannot be written: {reason}", path.display())]
    Write { path: PathBuf, reason: io::Error },
}

/// The JSON form of a login.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
}

impl StoredLogin {
    /// Reads the login at `path`; none if there is no such file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, LoginError> {
        let failed = |reason| LoginError::Read { path: path.to_owned(), reason };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
            return Err(LoginError::Open(path.to_owned()));
        }
        let mut text = Vec::new();
        file.take(MAX_LOGIN_BYTES).read_to_end(&mut text).map_err(failed)?;
        let form = |why: String| LoginError::Form { path: path.to_owned(), why };
        // The text of serde's error may repeat a value, and so the token.
        let Form { host, token, tenant, ca } = serde_json::from_slice(&text)
            .map_err(|error| form(format!("line {}, column {}", error.line(), error.column())))?;
        let token = token.map(|token| token.parse()).transpose();
        Ok(Some(Self {
            host: host.parse().map_err(|error| form(format!("{error}")))?,
            token: token.map_err(|error| form(format!("{error}")))?,
            tenant,
            ca,
        }))
    }

    /// Writes the login to `path`, for its owner alone, and makes the folder if it is not there.
    pub(super) fn write(&self, path: &Path) -> Result<(), LoginError> {
        let form = Form {
            host: self.host.to_string(),
            token: self.token.as_ref().map(|token| token.reveal().to_owned()),
            tenant: self.tenant.clone(),
            ca: self.ca.clone(),
        };
        let write = || -> io::Result<()> {
            if let Some(folder) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            let draft = path.with_extension("json.new");
            match fs::remove_file(&draft) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(serde_json::to_string_pretty(&form)?.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&draft, path)
        };
        write().map_err(|reason| LoginError::Write { path: path.to_owned(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> StoredLogin {
        StoredLogin {
            host: "https://host.example".parse().unwrap(),
            token: Some("jf_4f0c_hunter2".parse().unwrap()),
            tenant: Some(TenantName::parse("shop").unwrap()),
            ca: Some("/etc/ca.pem".into()),
        }
    }

    #[test]
    fn a_login_is_for_its_owner_alone_also_where_another_one_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/jackfield/login.json");
        assert_eq!(StoredLogin::read(&path).unwrap(), None);
        login().write(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(StoredLogin::read(&path).unwrap(), Some(login()));

        // What was left by somebody else, and may be read by all.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(path.with_extension("json.new"), "left over").unwrap();
        assert!(matches!(StoredLogin::read(&path), Err(LoginError::Open(_))));
        let other = StoredLogin { token: None, tenant: None, ca: None, ..login() };
        other.write(&path).unwrap();
        assert_eq!((StoredLogin::read(&path).unwrap(), mode(&path)), (Some(other), 0o600));
    }

    #[test]
    fn what_is_no_login_is_refused_without_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login.json");
        for text in [
            "",
            "hunter2",
            r#"{"host": 1}"#,
            r#"{"host": "https://host.example", "token": "hunter2"}"#,
            r#"{"host": "https://host.example", "token": {"hunter2": 1}}"#,
            r#"{"host": "https://host.example", "hunter2": 1}"#,
            r#"{"host": "host.example"}"#,
            r#"{"host": "https://host.example", "tenant": "Hunter2"}"#,
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let said = StoredLogin::read(&path).unwrap_err().to_string();
            assert!(said.contains("is not a login") && !said.contains("unter2"), "{text}: {said}");
        }
    }
}
