//! A second network namespace for the load: its connections come from another address, over a pair of virtual Ethernet
//! devices.
//!
//! The namespace has no name: it is the load generator's own, and the kernel removes it, and the devices, with that process.

use std::net::{IpAddr, Ipv4Addr};
use std::process;

use super::load::Load;
use super::{Scene, guarded};
use crate::failure::Result;
use crate::run::{Root, Run, find};

/// Where the load is, from the bridge's point of view.
pub(super) struct Link {
    /// The host's address on it, where the load finds the bridge.
    pub(super) host: IpAddr,
    load: IpAddr,
}

impl Link {
    /// Why this machine cannot have one, if it cannot.
    pub(super) fn missing() -> Option<&'static str> {
        if !matches!(Root::available(), Some(Root::Already)) {
            return Some("it needs root");
        }
        if find("ip").is_none() {
            return Some("there is no ip; install iproute2");
        }
        let creates = Run::new("unshare").args(["--net", "true"]).succeeds();
        (!creates).then_some("this machine does not let root make network namespaces")
    }

    /// Addresses of a private network for this process: two gauntlets may run at once.
    pub(super) fn new() -> Self {
        let third = (process::id() % 250) as u8;
        let [host, load] = [1, 2].map(|last| Ipv4Addr::new(10, 213, third, last).into());
        Self { host, load }
    }

    /// Starts the load generator in a namespace of its own, connected to this one.
    pub(super) fn start(&self, scene: &Scene, arguments: &str, conf: &str) -> Result<Load> {
        // Waits until the device is there.
        let script = r#"echo '{"namespace":true}'; read _; exec "$@""#;
        let mut load = Load::spawn(
            guarded(scene.cpus.load, "unshare".as_ref())
                .args(["--net", "sh", "-c", script, "sh"])
                .arg(&scene.load)
                .args(arguments.split(' '))
                .env("BRIDGE_CONF", conf),
        )?;
        load.line()?;
        self.connect(load.pid())?;
        load.release()?;
        Ok(load)
    }

    /// Connects this namespace and that of `pid`.
    fn connect(&self, pid: u32) -> Result<()> {
        let (here, there) = (format!("sbg{pid}h"), format!("sbg{pid}l"));
        let pid = pid.to_string();
        let ip = |words: &str| Run::new("ip").args(words.split(' ')).text();
        let inside = |words: &str| {
            Run::new("nsenter").args(["--net", "--target", &pid, "ip"]).args(words.split(' ')).text()
        };
        ip(&format!("link add {here} type veth peer name {there} netns {pid}"))?;
        ip(&format!("address add {}/30 dev {here}", self.host))?;
        ip(&format!("link set {here} up"))?;
        inside(&format!("address add {}/30 dev {there}", self.load))?;
        inside(&format!("link set {there} up"))?;
        inside("link set lo up")?;
        Ok(())
    }
}
