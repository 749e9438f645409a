//! From the addresses of a connection to its socket's inode (proc_net(5)), and from there to a process (proc_pid_fd(5)).

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use rustix::process::{Gid, Uid};

use super::Owner;

pub(crate) const KNOWS_OWNERS: bool = true;

/// Makes orphans among the descendants of this process its children (PR_SET_CHILD_SUBREAPER), so that they stay its
/// descendants. The supervisor reaps them.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Who has the socket at `peer`, which is connected to `local`.
///
/// The answer holds for as long as the connection is open: until then, no other socket can have the same two addresses.
pub(crate) fn owner_of(peer: SocketAddr, local: SocketAddr) -> Owner {
    let Some(socket) = socket_at(peer, local) else { return Owner::Unknown };
    let link = format!("socket:[{}]", socket.inode);
    let descendants = descendants_of(std::process::id());
    if descendants.iter().any(|pid| has_open(*pid, &link)) {
        return Owner::Command;
    }
    let own = rustix::process::geteuid().as_raw() == socket.uid;
    // A process whose ids differ could be anyone's.
    let may_be = |pid: &u32| user_of(*pid).is_none_or(|(uid, _)| uid.as_raw() == socket.uid);
    if own || descendants.iter().any(may_be) { Owner::Unknown } else { Owner::OtherUser }
}

/// A socket as the system's table has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Socket {
    /// Of the process that made it.
    uid: u32,
    inode: u64,
}

/// The socket with the local address `address` and the remote address `remote`.
fn socket_at(address: SocketAddr, remote: SocketAddr) -> Option<Socket> {
    let table = |path: &str, endpoints: (String, String)| {
        // Read at once: the kernel walks its table again for each read.
        let table = fs::read_to_string(path).ok()?;
        table.lines().skip(1).find_map(|line| socket_in(line, &endpoints))
    };
    // A JVM uses sockets of IPv6 for IPv4.
    table("/proc/net/tcp", (v4(address)?, v4(remote)?))
        .or_else(|| table("/proc/net/tcp6", (mapped(address)?, mapped(remote)?)))
}

/// Fields of a line: number, local address, remote address, state, queues, timer, retransmissions, uid, time-out, inode, ….
fn socket_in(line: &str, (local, remote): &(String, String)) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    if fields.next()? != local || fields.next()? != remote {
        return None;
    }
    let uid = fields.nth(4)?.parse().ok()?;
    // 0 once no process has the socket any more.
    let inode = fields.nth(1)?.parse().ok().filter(|inode| *inode != 0)?;
    Some(Socket { uid, inode })
}

/// As in /proc/net/tcp: the address in native byte order.
fn v4(address: SocketAddr) -> Option<String> {
    match address.ip() {
        IpAddr::V4(ip) => Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port())),
        IpAddr::V6(_) => None,
    }
}

/// As in /proc/net/tcp6: four words in native byte order.
fn mapped(address: SocketAddr) -> Option<String> {
    let prefix = u32::from_ne_bytes([0, 0, 0xff, 0xff]);
    Some(format!("0000000000000000{prefix:08X}{}", v4(address)?))
}

/// The descendants of the process `root`, without itself.
fn descendants_of(root: u32) -> HashSet<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = parent_of(&entry.path()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = HashSet::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            if found.insert(child) {
                open.push(child);
            }
        }
    }
    found
}

/// From `PID (name) state parent …`. The name may hold spaces and parentheses.
fn parent_of(process: &Path) -> Option<u32> {
    let stat = fs::read(process.join("stat")).ok()?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn has_open(pid: u32, link: &str) -> bool {
    match find_open(pid, link) {
        Ok(found) => found,
        // Root of a container has no CAP_SYS_PTRACE, without which only a process's own user sees what it has open.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            user_of(pid).is_some_and(|user| has_open_as(user, pid, link.to_owned()))
        }
        Err(_) => false,
    }
}

fn find_open(pid: u32, link: &str) -> io::Result<bool> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?;
    Ok(descriptors
        .flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == link)))
}

/// The user and group of a process, if all of its ids agree. Otherwise only root may look into it.
fn user_of(pid: u32) -> Option<(Uid, Gid)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let only = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let mut ids = line.split_ascii_whitespace();
        let first: u32 = ids.next()?.parse().ok()?;
        ids.all(|id| id.parse() == Ok(first)).then_some(first)
    };
    Some((Uid::from_raw(only("Uid:")?), Gid::from_raw(only("Gid:")?)))
}

/// As [`find_open`], with the rights of `user`. On Linux, each thread has ids of its own: those of a thread that ends with
/// the answer are changed.
fn has_open_as((uid, gid): (Uid, Gid), pid: u32, link: String) -> bool {
    let looking = std::thread::Builder::new().spawn(move || {
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(None, gid, None)?;
        // Last, as it takes the right to do the above. The real and the saved id stay, so that no process of the user may
        // touch this one.
        rustix::thread::set_thread_res_uid(None, uid, None)?;
        find_open(pid, &link)
    });
    looking.and_then(|thread| thread.join().unwrap_or(Ok(false))).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::net::{TcpListener, TcpStream};
    use std::process::{Command, Stdio};

    use super::*;
    use crate::support::require::{ROOT, require};

    #[test]
    fn a_line_of_the_table_is_found_by_both_addresses() {
        let line = "   1: 0100007F:0FA0 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 4242 1";
        let peer: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let local: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let (own, other) = (v4(peer).unwrap(), v4(local).unwrap());
        assert_eq!(socket_in(line, &(own.clone(), other.clone())), Some(Socket { uid: 1000, inode: 4242 }));
        assert_eq!(socket_in(line, &(other.clone(), own.clone())), None);
        assert_eq!(socket_in(line, &(own.clone(), own.clone())), None);
        assert_eq!(socket_in(&line.replace("4242", "0"), &(own, other)), None);
        assert_eq!(mapped(peer).unwrap(), "0000000000000000FFFF00000100007F:0FA0");
    }

    #[test]
    fn processes_of_other_users_are_looked_into_with_their_rights() {
        require!(ROOT);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}; echo open; read line", local.port());
        let mut child = Command::new("setpriv")
            .args(["--reuid=12345", "--regid=12346", "--clear-groups", "bash", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (_accepted, peer) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let link = format!("socket:[{}]", socket_at(peer, local).unwrap().inode);
        let user = user_of(child.id()).unwrap();
        assert_eq!((user.0.as_raw(), user.1.as_raw()), (12345, 12346));
        assert!(has_open_as(user, child.id(), link.clone()));
        let other = (Uid::from_raw(12347), Gid::from_raw(12346));
        assert!(!has_open_as(other, child.id(), link));
        assert_eq!(owner_of(peer, local), Owner::Command);
        // A user as whom nothing of this process runs.
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}; echo open; read line", local.port());
        let mut stranger = Command::new("setsid")
            .args([
                "--fork",
                "setpriv",
                "--reuid=12348",
                "--regid=12346",
                "--clear-groups",
                "bash",
                "-c",
                &script,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (_accepted, peer) = listener.accept().unwrap();
        stranger.wait().unwrap();
        // A process of another test that ends meanwhile, or changes its ids, could be anyone's for that moment.
        assert!((0..100).any(|_| owner_of(peer, local) == Owner::OtherUser));
        drop(stranger.stdin.take());
        // This thread is what it was.
        assert!(rustix::process::geteuid().is_root());
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_connection_of_a_child_is_told_from_one_of_this_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let own = TcpStream::connect(local).unwrap();
        let (_accepted, peer) = listener.accept().unwrap();
        assert_eq!(peer, own.local_addr().unwrap());
        assert!(socket_at(peer, local).is_some());
        assert_eq!(owner_of(peer, local), Owner::Unknown);

        // A grandchild: the shell waits for its subshell.
        let script = format!("(exec 3<>/dev/tcp/127.0.0.1/{}; echo open; read line); :", local.port());
        let mut child = Command::new("bash")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (_accepted, peer) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(owner_of(peer, local), Owner::Command);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(owner_of(peer, local), Owner::Unknown);
    }
}
