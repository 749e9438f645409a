//! Promise: builds together take few of the descriptors of the host's agent, and one build does not keep others from it.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use crate::support::agent::{
    AgentClient, Build, HostKey, Key, LIST, Login, NO, ONE, SshAgent, TWO, framed, listing, sign_request,
};
use crate::support::require::{OPENSSH, require};
use crate::support::{self, Bridge, Home};

/// What the bridge may open to one agent.
const LIMIT: usize = 32;

fn serve(home: Home, socket: &Path) -> Bridge {
    let mut command = home.serve(["-A"]);
    command.env("SSH_AUTH_SOCK", socket);
    Bridge::start(home, command)
}

/// Connections that process `pid` holds, its listener included.
fn sockets(pid: Pid) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).unwrap();
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn many_builds_use_32_connections_to_an_agent() {
    require!(OPENSSH);
    let home = Home::new();
    let agent = SshAgent::start(&home);
    let key = Key::ed25519(&home, "deploy");
    agent.add(&home, &key);
    // An agent out of descriptors serves its own user no longer.
    let few = Rlimit { current: Some(64), maximum: Some(64) };
    prlimit(Some(agent.pid()), Resource::Nofile, few).unwrap();
    let host = HostKey::new();
    let bridge = serve(home, &agent.socket);
    let builds: Vec<Build> = (0..4).map(|_| Build::start(&bridge, &[])).collect();
    // Every second connection is bound to a host. None is closed before the end.
    let mut clients: Vec<AgentClient> = Vec::new();
    for index in 0..200 {
        let mut client = builds[index % builds.len()].connect();
        if index % 2 == 0 {
            client.binds(&host.bind(&ONE));
        }
        client.logs_in(Login::new(&ONE, &key));
        clients.push(client);
        assert!(sockets(agent.pid()) <= LIMIT + 1, "{} sockets", sockets(agent.pid()));
    }
    assert!(agent.keys(&bridge.home).contains("deploy"), "the agent still serves this host");
    // Connections that had to be closed are opened anew, with their binds.
    for client in &mut clients {
        client.logs_in(Login::new(&ONE, &key));
    }
    assert!(sockets(agent.pid()) <= LIMIT + 1);
    drop(clients);
    for build in builds {
        build.end();
    }
    assert!(sockets(agent.pid()) <= LIMIT + 1);
}

#[test]
fn requests_beyond_the_limit_wait_in_line() {
    require!(OPENSSH);
    let home = Home::new();
    let agent = SshAgent::start(&home);
    let key = Key::ed25519(&home, "deploy");
    agent.add(&home, &key);
    let bridge = serve(home, &agent.socket);
    let builds: Vec<Build> = (0..4).map(|_| Build::start(&bridge, &[])).collect();
    // A stopped agent accepts, and answers when it continues.
    agent.signal(Signal::STOP);
    let signing: Vec<_> = (0..120)
        .map(|index| {
            let mut client = builds[index % builds.len()].connect();
            let key = key.clone();
            thread::spawn(move || client.logs_in(Login::new(&TWO, &key)))
        })
        .collect();
    agent.signal(Signal::CONT);
    for client in signing {
        client.join().unwrap();
    }
    assert!(sockets(agent.pid()) <= LIMIT + 1);
    for build in builds {
        build.end();
    }
}

/// An agent with `key` that never answers a sign request from the second on. Each sign request is reported.
fn hanging(home: &Home, key: &Key) -> (PathBuf, mpsc::Receiver<()>) {
    let socket = home.path("hanging.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let keys = framed(&listing(&[key]));
    let (reports, signing) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, keys, reports) =
                (AgentClient::over(stream.unwrap()), keys.clone(), reports.clone());
            thread::spawn(move || {
                while let Some(message) = stream.next() {
                    if message == LIST {
                        stream.send(&keys);
                    } else if message[0] == proto::agent::number::SIGN_REQUEST {
                        reports.send(()).unwrap();
                        // Until the bridge hangs up.
                        while stream.next().is_some() {}
                    } else {
                        stream.send(&framed(NO));
                    }
                }
            });
        }
    });
    (socket, signing)
}

#[test]
fn one_build_cannot_take_all_connections() {
    require!(OPENSSH);
    let home = Home::new();
    let key = Key::ed25519(&home, "deploy");
    let (socket, signing) = hanging(&home, &key);
    let bridge = serve(home, &socket);
    let greedy = Build::start(&bridge, &[]);
    let request = framed(&sign_request(&key.blob, &Login::new(&ONE, &key).data(), 0));
    let held: Vec<AgentClient> = (0..60)
        .map(|_| {
            let mut client = greedy.connect();
            client.send(&request);
            client
        })
        .collect();
    for _ in 0..LIMIT / 2 {
        signing.recv_timeout(support::LIMIT).unwrap();
    }
    // The other build's requests reach the agent, although 44 of the first one wait.
    let other = Build::start(&bridge, &[]);
    let mut client = other.connect();
    client.send(&request);
    signing.recv_timeout(support::LIMIT).unwrap();
    assert!(signing.try_recv().is_err(), "the first build has more than its share");
    drop((held, client));
    for build in [greedy, other] {
        build.end();
    }
}
