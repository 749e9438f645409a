//! A build that is stopped and searched for its credential at every answer, together with its traffic.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use super::{NPM, PACKAGES, address, copy_npm, run, suffix};
use crate::context::{BridgeRun, Context, random_hex};
use crate::support::https::authority::Authority;
use crate::support::https::nowhere::{Nowhere, Place, of_step, written_by};
use crate::support::https::scripted::{Scripted, Then};
use crate::support::registries::Installed;
use crate::support::registries::packages::OpenRegistry;
use crate::support::{Process, Start as _};

/// A registry that has everything of the step searched before and after each answer.
pub(crate) struct SearchedBuild {
    authority: Authority,
    server: Scripted,
    registry: OpenRegistry,
    watch: Arc<Watch>,
    planted: String,
}

struct Watch {
    nowhere: Nowhere,
    /// In the arguments of the step's shell.
    marker: String,
    since: i64,
}

impl Watch {
    fn search(&self) {
        let list = || of_step(&self.marker);
        self.nowhere.stop_and_search(list, |stopped| {
            let roots: BTreeSet<(Place, PathBuf)> =
                stopped.iter().filter(|pid| **pid != 1).flat_map(|pid| written_by(*pid)).collect();
            let mut seen = BTreeSet::new();
            for (place, directory) in roots {
                // Each process names the same file systems, through its own root.
                if seen.insert(identity(&directory)) {
                    self.nowhere.search_files_since(place, &directory, self.since);
                }
            }
        });
    }
}

fn identity(directory: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(directory).map(|data| (data.dev(), data.ino())).ok()
}

impl SearchedBuild {
    pub(crate) fn start(context: &Context) -> Self {
        let registry = OpenRegistry::npm(&Installed::find(), &PACKAGES);
        let authority = Authority::new();
        let (marker, planted) = (format!("marker-{}", random_hex(8)), format!("planted-{}", random_hex(16)));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
        let watch = Arc::new(Watch { nowhere: Nowhere::new(&context.token, &planted), marker, since });
        let (behind, expected) = (registry.address(), format!("Bearer {}", context.token));
        let searching = Arc::clone(&watch);
        let address = address();
        let server = Scripted::start_at(
            (address.ip(), address.port()),
            &authority,
            &["npm.example"],
            move |asked, connection| {
                assert_eq!(asked.header("authorization"), Some(expected.as_str()), "{}", asked.head);
                searching.search();
                connection.forward(asked, behind)?;
                searching.search();
                Ok(Then::Keep)
            },
        );
        Self { authority, server, registry, watch, planted }
    }

    /// The Dockerfile and its context. The step sends the planted value to `traffic_to` too.
    pub(crate) fn dockerfile(&self, context: &Context, traffic_to: IpAddr) -> String {
        let registry = format!("https://npm.example{}/", suffix(self.server.address));
        copy_npm(context, &registry);
        context.write("bin/planted", &self.planted);
        let marker = &self.watch.marker;
        // `exec` ends with the last search still to come: the request for `end` has it made.
        format!(
            "\
FROM base
COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/
COPY needs-the-token.sh /
{NPM}COPY bin/planted /planted
RUN [\"bash\", \"-ec\", \": {marker}; export PLANTED=$(cat /planted); cp /planted /dev/shm/; cp /planted /app/copied; \
echo $PLANTED > /dev/udp/{traffic_to}/9; sleep 600 & \
secrets-bridge exec --http --sh 'npm ci --loglevel=silly && rm -r node_modules package-lock.json && npm install && \
curl -sSf {registry}second > /app/end'; kill %1\"]
RUN node -p '\"installed: \" + require(\"@org/first\")'
"
        )
    }

    /// Builds, with a capture of everything that passes `interface`, and asserts that the token is nowhere.
    pub(crate) fn build(
        &self,
        context: &Context,
        interface: &str,
        options: &[&str],
        build: &Command,
    ) -> BridgeRun {
        let capture = Capture::start(context, interface);
        let port = suffix(self.server.address);
        let rules = [format!("npm.example{port}=NPM_TOKEN")];
        let run = run(context, &self.authority, &rules, options, self.server.address.ip(), build);
        let captured = capture.end();
        self.watch.nowhere.search_file(Place::Traffic, &captured);
        run.outcome.succeeds().says("installed: @org/first");
        let places = [Place::Memory, Place::Environment, Place::Files, Place::SharedMemory, Place::Traffic];
        // Three archives by the lock file, three descriptions without, and the end; before and after each answer.
        self.watch.nowhere.assert(&places, 2 * (3 + 3 + 1));
        assert!(self.registry.address().ip().is_loopback());
        run
    }
}

/// Everything that passes a network interface.
struct Capture {
    tcpdump: Process,
    file: PathBuf,
}

impl Capture {
    fn start(context: &Context, interface: &str) -> Self {
        let file = context.path("capture");
        let mut tcpdump = Command::new("tcpdump");
        tcpdump.args(["-i", interface, "-n", "-U", "-s", "0", "-B", "65536", "-Z", "root", "-w"]).arg(&file);
        let tcpdump = tcpdump.start();
        tcpdump.says("listening on");
        Self { tcpdump, file }
    }

    fn end(self) -> PathBuf {
        self.tcpdump.signal(Signal::INT);
        let outcome = self.tcpdump.ends();
        assert!(outcome.stderr.contains("0 packets dropped by kernel"), "{}", outcome.stderr);
        self.file
    }
}

/// The interface of this machine with this address.
pub(crate) fn interface_of(address: IpAddr) -> String {
    let mut ip = Command::new("ip");
    ip.args(["-oneline", "address", "show", "to", &address.to_string()]);
    let text = ip.outcome().succeeds().text();
    // `3: docker0    inet 172.17.0.1/16 …`
    text.split_whitespace().nth(1).unwrap_or_else(|| panic!("no interface has {address}")).to_owned()
}
