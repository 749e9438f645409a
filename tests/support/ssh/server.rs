//! sshd at a port of the test: it is started for each connection, as inetd does it.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::{Files, Key, LOOPBACK};
use crate::support::LIMIT;
use crate::support::require::find;

/// A real SSH server. Dropping it ends its connections.
pub struct Sshd {
    pub port: u16,
    /// The address at which it listens.
    pub address: IpAddr,
    host_key: Key,
    shared: Arc<Connections>,
    thread: Option<JoinHandle<()>>,
}

struct Connections {
    config: Mutex<PathBuf>,
    open: Mutex<HashMap<u64, TcpStream>>,
    closed: Condvar,
    accepted: AtomicU64,
    ended: AtomicBool,
    log: PathBuf,
}

impl Sshd {
    pub(super) fn start(files: &Files, name: &str, address: IpAddr) -> Self {
        let host_key = files.key(name);
        let log = files.path(&format!("{name}.log"));
        fs::write(&log, "").unwrap();
        let config = files.path(&format!("{name}.config"));
        fs::write(&config, configuration(&host_key, files)).unwrap();
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Connections {
            config: Mutex::new(config),
            open: Mutex::default(),
            closed: Condvar::new(),
            accepted: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            log,
        });
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept_all(&listener)
        });
        Self { port, address, host_key, shared, thread: Some(thread) }
    }

    /// Its name in known_hosts files and messages of the bridge, if it is at loopback.
    pub fn name(&self) -> String {
        self.name_at(LOOPBACK)
    }

    /// As [`Self::name`], at another address of this machine.
    pub fn name_at(&self, address: IpAddr) -> String {
        format!("[{address}]:{}", self.port)
    }

    pub fn known_hosts_line(&self) -> String {
        format!("{} {}\n", self.name(), self.host_key.public())
    }

    /// Type and key.
    pub fn host_key(&self) -> String {
        self.host_key.public()
    }

    /// `SHA256:…` of its host key.
    pub fn fingerprint(&self) -> String {
        self.host_key.fingerprint()
    }

    /// From now on new connections get the host key of `other`.
    pub fn is_impersonated_by(&self, other: &Self) {
        let config = other.shared.config().clone();
        *self.shared.config() = config;
    }

    /// How many connections have been accepted.
    pub fn connections(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Waits until all connections are closed.
    pub fn loses_all_connections(&self) {
        let open = self.shared.open();
        let waited = self.shared.closed.wait_timeout_while(open, LIMIT, |open| !open.is_empty());
        assert!(waited.unwrap().0.is_empty(), "connections are left: {}", self.log());
    }

    /// The log of sshd.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.shared.log).unwrap_or_default()
    }
}

impl Connections {
    fn config(&self) -> MutexGuard<'_, PathBuf> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept_all(self: &Arc<Self>, listener: &TcpListener) {
        while let Ok((stream, _)) = listener.accept() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            let number = self.accepted.fetch_add(1, Ordering::SeqCst);
            self.open().insert(number, stream.try_clone().unwrap());
            let shared = Arc::clone(self);
            thread::spawn(move || {
                shared.serve(stream);
                shared.open().remove(&number);
                shared.closed.notify_all();
            });
        }
    }

    /// Runs `sshd -i` to its end.
    fn serve(&self, stream: TcpStream) {
        let input = OwnedFd::from(stream);
        let output = input.try_clone().unwrap();
        let config = self.config().clone();
        let mut sshd = Command::new(find("sshd").unwrap());
        sshd.arg("-i").arg("-f").arg(config).arg("-E").arg(&self.log);
        let child = sshd.stdin(input).stdout(output).stderr(Stdio::null()).spawn();
        // The command holds copies of the connection, which must be closed when sshd ends.
        drop(sshd);
        let _ = child.unwrap().wait();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for stream in self.shared.open().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let address = if self.address.is_unspecified() { LOOPBACK } else { self.address };
        let _ = TcpStream::connect(SocketAddr::from((address, self.port)));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn configuration(host_key: &Key, files: &Files) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!(
        "HostKey {}\n\
         AuthorizedKeysFile {}\n\
         SetEnv \"PATH={path}\" \"HOME={}\" GIT_CONFIG_NOSYSTEM=1\n\
         AcceptEnv GIT_PROTOCOL\n\
         StrictModes no\n\
         UsePAM no\n\
         PermitRootLogin yes\n\
         PermitUserRC no\n\
         AuthenticationMethods publickey\n\
         MaxAuthTries 20\n\
         PidFile none\n\
         PrintMotd no\n\
         LogLevel VERBOSE\n\
         Subsystem sftp internal-sftp\n",
        host_key.path.display(),
        files.path("authorized_keys").display(),
        files.path("nowhere").display(),
    )
}
