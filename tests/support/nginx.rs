//! nginx as one process, and git's own server behind it.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::require::find;
use crate::support::{Process, Start as _};

/// nginx with `nginx.conf` of `directory`.
pub fn nginx(directory: &Path) -> Command {
    let mut nginx = Command::new(find("nginx").unwrap());
    // Before it has read its configuration, nginx would log to the file of its build.
    nginx.args(["-e", "stderr", "-p"]).arg(directory).arg("-c").arg(directory.join("nginx.conf"));
    nginx.stdin(Stdio::null());
    nginx
}

/// Whether nginx listens; `false` if its port was taken.
pub fn listens(nginx: &Process) -> bool {
    // Its first message is an error of bind(), or comes after a successful one.
    !nginx.says("[").contains("bind()")
}

/// fcgiwrap at the socket `backend` of `directory`. It takes the listening socket as its standard input. It is a single
/// process, so killing it is enough.
pub fn fcgiwrap(directory: &Path) -> Process {
    let socket = UnixListener::bind(directory.join("backend")).unwrap();
    Command::new(find("fcgiwrap").unwrap()).stdin(OwnedFd::from(socket)).start()
}

/// The value of `listen`.
pub fn listen(address: IpAddr, port: u16) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}:{port}"),
        IpAddr::V6(address) => format!("[{address}]:{port}"),
    }
}

/// Directives outside of servers: one process, with its files in `directory`.
pub fn main_directives(directory: &Path) -> String {
    format!(
        "daemon off;\nmaster_process off;\npid {}/nginx.pid;\nerror_log stderr notice;\nevents {{}}\n",
        directory.display()
    )
}

/// Directives of `http` for the files that nginx would otherwise write below the directories of its build.
pub fn temporary_files(directory: &Path) -> String {
    ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/temporary_{kind};\n", directory.display()))
        .concat()
}

/// Directives of `http` with the parameters of `git http-backend`, for the repositories in `root` of `directory`.
pub fn git_parameters(directory: &Path) -> String {
    let root = directory.display();
    let backend = Command::new("git").arg("--exec-path").outcome().succeeds().text();
    let backend = Path::new(backend.trim()).join("git-http-backend");
    let backend = backend.display();
    let path = std::env::var("PATH").unwrap();
    format!(
        "fastcgi_param SCRIPT_FILENAME {backend};
fastcgi_param PATH {path};
fastcgi_param GIT_PROJECT_ROOT {root}/root;
fastcgi_param GIT_HTTP_EXPORT_ALL 1;
fastcgi_param GIT_PROTOCOL $http_git_protocol;
fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
fastcgi_param PATH_INFO $uri;
fastcgi_param REMOTE_USER $remote_user;
fastcgi_param REMOTE_ADDR $remote_addr;
fastcgi_param QUERY_STRING $query_string;
fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param CONTENT_TYPE $content_type;
fastcgi_param CONTENT_LENGTH $content_length;
"
    )
}
