//! The nginx that the host is compared with: from the PATH, with a configuration of its own.

use std::fs;
use std::net::TcpListener;

use anyhow::{Context, Result};

use super::server::{Program, Server};

/// nginx with so many `workers`, each with all that it serves in one `server` block, whose `listen` ends with `options`.
/// One line of an access log a request, and files by sendfile(2).
pub(super) fn start(program: &Program, workers: usize, options: &str, block: &str) -> Result<Server> {
    let home = tempfile::tempdir().context("cannot make a folder for nginx")?;
    // The port may be taken again before nginx has it; then it ends, and says so.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let path = home.path().display();
    let master = if workers == 1 { "off" } else { "on" };
    let configuration = format!(
        "daemon off; master_process {master}; worker_processes {workers}; pid {path}/pid;\n\
         error_log {path}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log {path}/access.log; sendfile on; tcp_nopush on; keepalive_requests 1000000000;\n\
         client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;\n\
         fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;\n\
         server {{ listen {address} {options}; {block} }} }}\n"
    );
    let file = home.path().join("nginx.conf");
    fs::write(&file, configuration)?;
    let mut command = program.command();
    command.arg("-p").arg(home.path()).arg("-c").arg(&file);
    Server::listening_at(command, address, home)
}
