//! Builds by buildah, which needs no daemon: the secret arrives, and the image does not contain it.

mod http;

use std::fs::File;
use std::process::Command;

use crate::context::{
    BridgeRun, Context, Outcome, binary, confs_in, is_conf_in_history, outcome, random_hex, setting,
};
use crate::support::require::require;
use crate::support::ssh::{SSH_SERVER, Scene};

const DOCKERFILE: &str = "\
FROM base
COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/
COPY needs-the-token.sh .
RUN secrets-bridge exec -e NPM_TOKEN -- ./needs-the-token.sh
";

const FTP_PROXY: [&str; 2] = ["--build-arg", "FTP_PROXY"];

#[test]
fn the_secret_arrives_and_nothing_of_it_stays() {
    let buildah = Buildah::new();
    buildah.dockerfile(DOCKERFILE);
    let first = buildah.build("app", &FTP_PROXY);
    first.outcome.succeeds().says("the token arrived");
    first.outcome.says("1 session, 1 key read (NPM_TOKEN), 0 signatures, 0 refusals");
    // Not every version of buildah keeps predefined build-args out of the history.
    let found = buildah.search("app", [&first]);
    assert!(found.iter().all(|found| is_conf_in_history(found)), "{found:#?}");
    buildah.assert_dead(&first.conf);

    let second = buildah.build("again", &FTP_PROXY);
    second.outcome.succeeds();
    if found.is_empty() {
        second.outcome.says("no connection arrived: every step cached");
    }
}

#[test]
fn a_declared_build_arg_leaves_a_dead_conf_in_the_history() {
    let buildah = Buildah::new();
    buildah.dockerfile(&DOCKERFILE.replace("COPY needs", "ARG BRIDGE_CONF\nCOPY needs"));
    let run = buildah.build("app", &["--build-arg", "BRIDGE_CONF"]);
    run.outcome.succeeds().says("the token arrived");
    assert_eq!(confs_in(buildah.inspect("app").as_bytes()), [run.conf.clone()].into());
    let found = buildah.search("app", [&run]);
    assert!(found.iter().all(|found| is_conf_in_history(found)), "{found:#?}");
    buildah.assert_dead(&run.conf);
}

#[test]
fn a_conf_in_a_secret_file_leaves_nothing_in_the_image() {
    let buildah = Buildah::new();
    buildah.dockerfile(&DOCKERFILE.replace("RUN", "RUN --mount=type=secret,id=bridge_conf"));
    let secret = ["--secret", "id=bridge_conf,env=BRIDGE_CONF"];
    let first = buildah.build("app", &secret);
    first.outcome.succeeds().says("the token arrived").says("1 session, 1 key read (NPM_TOKEN)");
    assert_eq!(buildah.search("app", [&first]), Vec::<String>::new());
    buildah.build("again", &secret).outcome.succeeds().says("no connection arrived: every step cached");
}

#[test]
fn an_ordinary_user_gets_the_secret() {
    let buildah = Buildah::new();
    buildah.dockerfile(
        "\
FROM base
COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/
COPY needs-the-token.sh .
RUN useradd --create-home node
USER node
RUN [ \"$(id -un)\" = node ] && secrets-bridge exec -e NPM_TOKEN -- ./needs-the-token.sh
",
    );
    buildah.build("app", &FTP_PROXY).outcome.succeeds().says("the token arrived");
}

#[test]
fn exec_works_in_an_image_without_any_other_file() {
    let buildah = Buildah::new();
    // The image has no other program, so COMMAND is a second bridge, which offers the variable T that it got, and whose client
    // prints T.
    buildah.dockerfile(
        r#"FROM scratch
COPY --from=secrets-bridge /secrets-bridge /
RUN ["/secrets-bridge", "exec", "--no-mask", "-e", "T=NPM_TOKEN", "--", "/secrets-bridge", "run", "--secret", "T", "--", "/secrets-bridge", "print", "T"]
"#,
    );
    buildah.build("app", &FTP_PROXY).outcome.succeeds().says(&buildah.context.token);
}

#[test]
fn under_chroot_isolation_the_bridge_is_on_loopback() {
    let buildah = Buildah::new();
    buildah.dockerfile(&DOCKERFILE.replace("RUN ", "RUN secrets-bridge test && "));
    let build = buildah.build_command("app", &FTP_PROXY);
    let run = buildah.context.run(&["--listen", "127.0.0.1:0"], &build);
    run.outcome.succeeds().says("127.0.0.1:").says("keys: NPM_TOKEN").says("the token arrived");
}

#[test]
fn a_build_clones_with_a_host_key_and_leaves_nothing() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let repository = scene.repository("project", &[]);
    let buildah = Buildah::new();
    buildah.dockerfile(&format!(
        "\
FROM base
COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/
COPY needs-the-token.sh .
RUN list() {{ find / -xdev -path /proc -prune -o -path /src -prune -o -print | sort; }}; touch /src-before /src-after; list > /src-before; \
 secrets-bridge exec -- git clone {} /src && echo file: $(cat /src/file) && \
 list > /src-after && cmp /src-before /src-after && [ ! -e ~/.ssh ]
RUN [ ! -e \"$(secrets-bridge exec --sh 'dirname \"$SSH_AUTH_SOCK\"')\" ]
",
        scene.url(&scene.server, &repository.path),
    ));
    let known_hosts = scene.known_hosts(&[&scene.server]);
    let (agent, allowed) = (format!("default={}", scene.agent.socket.display()), scene.server.name());
    let options = [
        ["--ssh", &agent],
        ["--ssh-known-hosts", known_hosts.to_str().unwrap()],
        ["--ssh-allow-host", &allowed],
        ["--listen", "127.0.0.1:0"],
    ]
    .concat();
    let run = buildah.context.run(&options, &buildah.build_command("app", &FTP_PROXY));
    run.outcome.succeeds().says("file: project").says("2 sessions, 0 keys read, 1 signature, 0 refusals");
    let found = buildah.search("app", [&run]);
    assert!(found.iter().all(|found| is_conf_in_history(found)), "{found:#?}");
}

#[test]
fn a_missing_secret_and_a_dead_conf_stop_the_build_loudly() {
    let buildah = Buildah::new();
    buildah.dockerfile(&DOCKERFILE.replace("-e NPM_TOKEN", "-e ABSENT"));
    let run = buildah.build("app", &FTP_PROXY);
    run.outcome.fails().reports_code(125).says("ABSENT: the bridge has no such secret");

    buildah.dockerfile(DOCKERFILE);
    let dead = buildah.build_with_conf(&run.conf);
    dead.fails().reports_code(125).says("no endpoint of the bridge answered").never_says("the token arrived");
}

/// A build context, and images with unique names. Dropping it removes them.
struct Buildah {
    context: Context,
    prefix: String,
}

impl Buildah {
    fn new() -> Self {
        let buildah = Self { context: Context::new(), prefix: format!("sb-test-{}", random_hex(6)) };
        buildah.create_base();
        buildah.load_our_image();
        buildah
    }

    /// Creates the base image, once for all tests: `cargo xtask test` makes the storage for them, and removes it afterwards.
    fn create_base(&self) {
        let mut inspect = self.buildah();
        inspect.args(["inspect", "--type", "image", BASE]);
        if outcome(inspect).code == Some(0) {
            return;
        }
        let container = self.prints(&["from", "scratch"]);
        let container = container.trim();
        self.prints(&["add", "--quiet", container, &setting("SECRETS_BRIDGE_TEST_BASE_TAR"), "/"]);
        self.prints(&["config", "--cmd", "sh", container]);
        self.prints(&["commit", "--quiet", "--rm", container, BASE]);
    }

    /// buildah reads the archives that `secrets-bridge image` writes, too.
    fn load_our_image(&self) {
        let archive = self.context.path("bridge.tar");
        let mut image = self.context.command(binary());
        image.args(["image", "--tag", &self.tag("bridge")]).stdout(File::create(&archive).unwrap());
        assert!(image.status().unwrap().success());
        self.prints(&["pull", "--quiet", &format!("docker-archive:{}", archive.display())]);
    }

    fn tag(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Writes the Dockerfile, with the images of this test for `base` and `secrets-bridge`.
    fn dockerfile(&self, text: &str) {
        let text = text
            .replace("FROM base", &format!("FROM {BASE}"))
            .replace("--from=secrets-bridge", &format!("--from={}", self.tag("bridge")));
        self.context.write("Dockerfile", &text);
    }

    fn buildah(&self) -> Command {
        // Without this variable, buildah would write to the user's storage.
        let storage = setting("CONTAINERS_STORAGE_CONF");
        let mut buildah = self.context.command("buildah");
        buildah.env("CONTAINERS_STORAGE_CONF", storage).env("BUILDAH_ISOLATION", "chroot");
        // buildah would look for credentials there, and fail if there is no such file.
        buildah.env_remove("DOCKER_CONFIG");
        buildah
    }

    fn build_command(&self, name: &str, options: &[&str]) -> Command {
        let mut build = self.buildah();
        build.args(["build", "--layers", "--force-rm", "--tag", &self.tag(name)]).args(options).arg(".");
        build
    }

    /// `secrets-bridge run … -- buildah build OPTIONS .`
    fn build(&self, name: &str, options: &[&str]) -> BridgeRun {
        self.context.run(&[], &self.build_command(name, options))
    }

    /// `buildah build --build-arg FTP_PROXY .` without a bridge.
    fn build_with_conf(&self, conf: &str) -> Outcome {
        let mut build = self.build_command("app", &FTP_PROXY);
        build.env("FTP_PROXY", conf);
        outcome(build)
    }

    /// What `buildah ARGUMENTS` prints.
    fn prints(&self, arguments: &[&str]) -> String {
        let mut buildah = self.buildah();
        buildah.args(arguments);
        let outcome = outcome(buildah);
        outcome.succeeds();
        outcome.text
    }

    /// The configuration and history of an image.
    fn inspect(&self, name: &str) -> String {
        self.prints(&["inspect", "--type", "image", &self.tag(name)])
    }

    /// Searches history, configuration and the saved image for the token and for the confs of `runs`.
    fn search<'a>(&self, name: &str, runs: impl IntoIterator<Item = &'a BridgeRun>) -> Vec<String> {
        let mut search = self.context.search(runs.into_iter().map(|run| run.conf.as_str()));
        search.check("buildah inspect", self.inspect(name).as_bytes());
        let archive = self.context.path("saved.tar");
        let tag = self.tag(name);
        self.prints(&["push", "--quiet", &tag, &format!("docker-archive:{}:{tag}", archive.display())]);
        search.check_archive(&archive);
        search.findings()
    }

    fn assert_dead(&self, conf: &str) {
        let mut print = self.context.command(binary());
        print.args(["print", "NPM_TOKEN"]).env("BRIDGE_CONF", conf);
        let outcome = outcome(print);
        assert_eq!(outcome.code, Some(125), "{}", outcome.text);
        outcome.says("no endpoint of the bridge answered");
    }
}

const BASE: &str = "localhost/secrets-bridge-test-base";

impl Drop for Buildah {
    fn drop(&mut self) {
        for name in ["again", "app", "bridge"] {
            let mut remove = self.buildah();
            remove.args(["rmi", "--force", &self.tag(name)]);
            // Most tests make only some of these images.
            outcome(remove);
        }
    }
}
