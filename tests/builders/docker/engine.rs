//! Docker's two builders, as the tests with real builds use them.

use std::net::IpAddr;
use std::process::{Command, Stdio};

use crate::context::{Context, Ran, Said, binary, random_hex, said, setting};
use crate::support::require::Need;

/// How a build is given the conf without an ARG.
pub(crate) const FTP_PROXY: [&str; 2] = ["--build-arg", "FTP_PROXY"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builder {
    Classic,
    BuildKit,
}

/// One builder with a build context, and names for images that no other test uses. Dropping it removes them.
pub(crate) struct Docker {
    pub(crate) builder: Builder,
    pub(crate) context: Context,
    prefix: String,
}

/// Where builds, and whatever else is in Docker's default network, reach this machine.
///
/// A daemon that was not told which address its bridge has, such as Debian's, names no gateway in `network inspect`: then
/// it is where a container's default route leads.
pub(crate) fn gateway() -> IpAddr {
    let docker = |args: &[&str]| {
        let mut docker = Command::new("docker");
        docker.args(args);
        let said = said(docker);
        said.succeeds();
        said.text
    };
    let template = "{{range .IPAM.Config}}{{.Gateway}}{{end}}";
    if let Ok(named) = docker(&["network", "inspect", "bridge", "--format", template]).trim().parse() {
        return named;
    }
    let routes = docker(&["run", "--rm", &setting("SECRETS_BRIDGE_TEST_BASE"), "cat", "/proc/net/route"]);
    default_route(&routes).unwrap_or_else(|| panic!("a container has no default route: {routes}"))
}

/// The gateway of the default route in `/proc/net/route`: hexadecimal, in the byte order of the machine.
fn default_route(routes: &str) -> Option<IpAddr> {
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let default =
        routes.lines().map(fields).find(|fields| fields.get(1).is_some_and(|to| to == "00000000"))?;
    let gateway = u32::from_str_radix(default.get(2)?, 16).ok()?;
    Some(IpAddr::from(gateway.to_ne_bytes()))
}

#[test]
fn the_gateway_is_read_from_a_table_of_routes() {
    let routes = "Iface\tDestination\tGateway \tFlags\n\
                  eth0\t000011AC\t00000000\t0001\n\
                  eth0\t00000000\t010011AC\t0003\n";
    assert_eq!(default_route(routes), Some([172, 17, 0, 1].into()));
}

/// BuildKit, by the daemon's buildx plugin.
pub(crate) const BUILDKIT: Need = Need {
    name: "BuildKit",
    missing: || (!has_buildkit()).then(|| "there is no buildx plugin".to_owned()),
    remedy: "run `cargo xtask test --install`",
};

/// `cargo xtask test` says whether there is one, and counts it as skipped if not.
fn has_buildkit() -> bool {
    setting("SECRETS_BRIDGE_TEST_BUILDX") == "1"
}

/// The builders that this machine has, each with a context of its own and our image in its store.
pub(crate) fn every_builder() -> impl Iterator<Item = Docker> {
    let builders =
        if has_buildkit() { vec![Builder::Classic, Builder::BuildKit] } else { vec![Builder::Classic] };
    builders.into_iter().map(Docker::new)
}

impl Docker {
    fn new(builder: Builder) -> Self {
        let docker = Self { builder, context: Context::new(), prefix: format!("sb-test-{}", random_hex(6)) };
        docker.load_our_image();
        docker
    }

    /// `secrets-bridge image | docker load`, under a name of our own.
    fn load_our_image(&self) {
        let mut image = self.context.command(binary());
        image.args(["image", "--tag", &self.tag("bridge")]).stdout(Stdio::piped());
        let mut image = image.spawn().unwrap();
        let mut load = self.docker();
        load.arg("load").stdin(image.stdout.take().unwrap());
        said(load).succeeds().says("Loaded image");
        assert!(image.wait().unwrap().success());
    }

    pub(crate) fn tag(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Writes the Dockerfile: `base` and `secrets-bridge` stand for the images of these tests.
    pub(crate) fn dockerfile(&self, text: &str) {
        let text = text
            .replace("FROM base", &format!("FROM {}", setting("SECRETS_BRIDGE_TEST_BASE")))
            .replace("--from=secrets-bridge", &format!("--from={}", self.tag("bridge")));
        self.context.write("Dockerfile", &text);
    }

    pub(crate) fn docker(&self) -> Command {
        let mut docker = self.context.command("docker");
        docker.env("DOCKER_BUILDKIT", if self.builder == Builder::Classic { "0" } else { "1" });
        // Builders other than the daemon's own do not see its images.
        docker.env("BUILDX_BUILDER", "default").env("BUILDKIT_PROGRESS", "plain");
        docker
    }

    pub(crate) fn build_command(&self, name: &str, options: &[&str]) -> Command {
        let mut build = self.docker();
        // --force-rm: the classic builder keeps the container of a step that failed.
        build.args(["build", "--force-rm", "--tag", &self.tag(name)]).args(options).arg(".");
        build
    }

    /// `secrets-bridge run … -- docker build OPTIONS .`
    pub(crate) fn build(&self, name: &str, options: &[&str]) -> Ran {
        self.build_with(&[], name, options)
    }

    /// The same, with options for `run`.
    pub(crate) fn build_with(&self, run_options: &[&str], name: &str, options: &[&str]) -> Ran {
        self.context.run(run_options, &self.build_command(name, options))
    }

    /// `docker build --build-arg FTP_PROXY OPTIONS .` without a bridge around it.
    pub(crate) fn build_with_conf(&self, conf: &str, options: &[&str]) -> Said {
        let mut build = self.build_command("app", &[FTP_PROXY.as_slice(), options].concat());
        build.env("FTP_PROXY", conf);
        said(build)
    }

    /// What `docker ARGUMENTS` prints.
    pub(crate) fn prints(&self, arguments: &[&str]) -> String {
        let mut docker = self.docker();
        docker.args(arguments);
        let said = said(docker);
        said.succeeds();
        said.text
    }

    /// The digests of all layers: the same only if every step was cached, since layers hold times.
    pub(crate) fn layers(&self, name: &str) -> String {
        self.prints(&["image", "inspect", "--format", "{{.RootFS.Layers}}", &self.tag(name)])
    }

    pub(crate) fn history(&self, name: &str) -> String {
        self.prints(&["history", "--no-trunc", &self.tag(name)])
    }

    /// Looks for the token, and for the confs of `runs`, in history, configuration and every byte of the saved image.
    pub(crate) fn search<'a>(&self, name: &str, runs: impl IntoIterator<Item = &'a Ran>) -> Vec<String> {
        let mut search = self.context.search(runs.into_iter().map(|ran| ran.conf.as_str()));
        search.look("docker history", self.history(name).as_bytes());
        search.look("docker inspect", self.prints(&["inspect", &self.tag(name)]).as_bytes());
        let archive = self.context.path("saved.tar");
        self.prints(&["save", "--output", archive.to_str().unwrap(), &self.tag(name)]);
        search.look_into_archive(&archive);
        search.finds()
    }

    /// `docker save IMAGE | secrets-bridge scan OPTIONS -`
    pub(crate) fn scan(&self, name: &str, options: &[&str]) -> Said {
        let mut save = self.docker();
        let mut save = save.args(["save", &self.tag(name)]).stdout(Stdio::piped()).spawn().unwrap();
        let mut scan = self.context.command(binary());
        scan.arg("scan").args(options).arg("-").stdin(save.stdout.take().unwrap());
        let said = said(scan);
        assert!(save.wait().unwrap().success());
        said
    }

    /// The conf is dead: no bridge answers.
    pub(crate) fn finds_dead(&self, conf: &str) {
        let mut print = self.context.command(binary());
        print.args(["print", "NPM_TOKEN"]).env("BRIDGE_CONF", conf);
        let said = said(print);
        assert_eq!(said.code, Some(125), "{}", said.text);
        said.says("no endpoint of the bridge answered");
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        for name in ["again", "app", "bridge"] {
            let mut remove = self.docker();
            remove.args(["rmi", "--force", &self.tag(name)]);
            // Most tests make only some of these images.
            said(remove);
        }
    }
}
