//! Docker's two builders: the classic one, and BuildKit.

use std::net::IpAddr;
use std::process::{Command, Stdio};

use crate::context::{BridgeRun, Context, Outcome, binary, outcome, random_hex, setting};
use crate::support::require::Need;

/// The option that gives a build the conf without an ARG in the Dockerfile.
pub(crate) const FTP_PROXY: [&str; 2] = ["--build-arg", "FTP_PROXY"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builder {
    Classic,
    BuildKit,
}

/// A builder with a build context, and images with unique names. Dropping it removes them.
pub(crate) struct Docker {
    pub(crate) builder: Builder,
    pub(crate) context: Context,
    prefix: String,
}

/// The address of this machine in Docker's default network, where builds are.
///
/// A daemon without a configured bridge address, such as Debian's, shows no gateway in `docker network inspect`. Then this
/// is the gateway in a container's default route.
pub(crate) fn gateway() -> IpAddr {
    let docker = |args: &[&str]| {
        let mut docker = Command::new("docker");
        docker.args(args);
        let outcome = outcome(docker);
        outcome.succeeds();
        outcome.text
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
fn the_gateway_is_read_from_a_route_table() {
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

/// Whether `cargo xtask test` found the plugin.
fn has_buildkit() -> bool {
    setting("SECRETS_BRIDGE_TEST_BUILDX") == "1"
}

/// The builders of this machine, each with its own context, and with our image loaded.
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

    /// `secrets-bridge image | docker load`
    fn load_our_image(&self) {
        let mut image = self.context.command(binary());
        image.args(["image", "--tag", &self.tag("bridge")]).stdout(Stdio::piped());
        let mut image = image.spawn().unwrap();
        let mut load = self.docker();
        load.arg("load").stdin(image.stdout.take().unwrap());
        outcome(load).succeeds().says("Loaded image");
        assert!(image.wait().unwrap().success());
    }

    pub(crate) fn tag(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Writes the Dockerfile, with the images of this test for `base` and `secrets-bridge`.
    pub(crate) fn dockerfile(&self, text: &str) {
        let text = text
            .replace("FROM base", &format!("FROM {}", setting("SECRETS_BRIDGE_TEST_BASE")))
            .replace("--from=secrets-bridge", &format!("--from={}", self.tag("bridge")));
        self.context.write("Dockerfile", &text);
    }

    pub(crate) fn docker(&self) -> Command {
        let mut docker = self.context.command("docker");
        docker.env("DOCKER_BUILDKIT", if self.builder == Builder::Classic { "0" } else { "1" });
        // Only the daemon's own builder can use its images.
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
    pub(crate) fn build(&self, name: &str, options: &[&str]) -> BridgeRun {
        self.build_with(&[], name, options)
    }

    /// As [`Self::build`], with options for `run`.
    pub(crate) fn build_with(&self, run_options: &[&str], name: &str, options: &[&str]) -> BridgeRun {
        self.context.run(run_options, &self.build_command(name, options))
    }

    /// `docker build --build-arg FTP_PROXY OPTIONS .` without a bridge.
    pub(crate) fn build_with_conf(&self, conf: &str, options: &[&str]) -> Outcome {
        let mut build = self.build_command("app", &[FTP_PROXY.as_slice(), options].concat());
        build.env("FTP_PROXY", conf);
        outcome(build)
    }

    /// What `docker ARGUMENTS` prints.
    pub(crate) fn prints(&self, arguments: &[&str]) -> String {
        let mut docker = self.docker();
        docker.args(arguments);
        let outcome = outcome(docker);
        outcome.succeeds();
        outcome.text
    }

    /// The digests of all layers. They contain times, so two images have the same only if every step was cached.
    pub(crate) fn layers(&self, name: &str) -> String {
        self.prints(&["image", "inspect", "--format", "{{.RootFS.Layers}}", &self.tag(name)])
    }

    pub(crate) fn history(&self, name: &str) -> String {
        self.prints(&["history", "--no-trunc", &self.tag(name)])
    }

    /// Searches history, configuration and the saved image for the token and for the confs of `runs`.
    pub(crate) fn search<'a>(
        &self,
        name: &str,
        runs: impl IntoIterator<Item = &'a BridgeRun>,
    ) -> Vec<String> {
        let mut search = self.context.search(runs.into_iter().map(|run| run.conf.as_str()));
        search.check("docker history", self.history(name).as_bytes());
        search.check("docker inspect", self.prints(&["inspect", &self.tag(name)]).as_bytes());
        let archive = self.context.path("saved.tar");
        self.prints(&["save", "--output", archive.to_str().unwrap(), &self.tag(name)]);
        search.check_archive(&archive);
        search.findings()
    }

    /// `docker save IMAGE | secrets-bridge scan OPTIONS -`
    pub(crate) fn scan(&self, name: &str, options: &[&str]) -> Outcome {
        let mut save = self.docker();
        let mut save = save.args(["save", &self.tag(name)]).stdout(Stdio::piped()).spawn().unwrap();
        let mut scan = self.context.command(binary());
        scan.arg("scan").args(options).arg("-").stdin(save.stdout.take().unwrap());
        let outcome = outcome(scan);
        assert!(save.wait().unwrap().success());
        outcome
    }

    pub(crate) fn assert_dead(&self, conf: &str) {
        let mut print = self.context.command(binary());
        print.args(["print", "NPM_TOKEN"]).env("BRIDGE_CONF", conf);
        let outcome = outcome(print);
        assert_eq!(outcome.code, Some(125), "{}", outcome.text);
        outcome.says("no endpoint of the bridge answered");
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        for name in ["again", "app", "bridge"] {
            let mut remove = self.docker();
            remove.args(["rmi", "--force", &self.tag(name)]);
            // Most tests make only some of these images.
            outcome(remove);
        }
    }
}
