//! Real builds by buildah, which needs no daemon: the secret arrives, and nothing of it stays.

use std::fs::File;
use std::process::Command;

use crate::context::{Context, Ran, Said, binary, confs_in, is_conf_in_history, random_hex, said, setting};
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
    first.said.succeeds().says("the token arrived");
    first.said.says("1 session, 1 key read (NPM_TOKEN), 0 signatures, 0 refusals");
    // Not every version of buildah keeps predefined build-args out of the history.
    let found = buildah.search("app", [&first]);
    assert!(found.iter().all(|found| is_conf_in_history(found)), "{found:#?}");
    buildah.finds_dead(&first.conf);

    let second = buildah.build("again", &FTP_PROXY);
    second.said.succeeds();
    if found.is_empty() {
        second.said.says("no connection arrived: every step cached");
    }
}

#[test]
fn a_declared_build_arg_leaves_a_dead_conf_in_the_history() {
    let buildah = Buildah::new();
    buildah.dockerfile(&DOCKERFILE.replace("COPY needs", "ARG BRIDGE_CONF\nCOPY needs"));
    let ran = buildah.build("app", &["--build-arg", "BRIDGE_CONF"]);
    ran.said.succeeds().says("the token arrived");
    assert_eq!(confs_in(buildah.inspect("app").as_bytes()), [ran.conf.clone()].into());
    let found = buildah.search("app", [&ran]);
    assert!(found.iter().all(|found| is_conf_in_history(found)), "{found:#?}");
    buildah.finds_dead(&ran.conf);
}

#[test]
fn a_conf_in_a_secret_file_leaves_nothing_at_all() {
    let buildah = Buildah::new();
    buildah.dockerfile(&DOCKERFILE.replace("RUN", "RUN --mount=type=secret,id=bridge_conf"));
    let secret = ["--secret", "id=bridge_conf,env=BRIDGE_CONF"];
    let first = buildah.build("app", &secret);
    first.said.succeeds().says("the token arrived").says("1 session, 1 key read (NPM_TOKEN)");
    assert_eq!(buildah.search("app", [&first]), Vec::<String>::new());
    buildah.build("again", &secret).said.succeeds().says("no connection arrived: every step cached");
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
    buildah.build("app", &FTP_PROXY).said.succeeds().says("the token arrived");
}

#[test]
fn an_image_without_a_shell_or_any_other_file_will_do() {
    let buildah = Buildah::new();
    // There is no other program than ours: COMMAND is a bridge of its own, whose client prints what COMMAND was given.
    buildah.dockerfile(
        r#"FROM scratch
COPY --from=secrets-bridge /secrets-bridge /
RUN ["/secrets-bridge", "exec", "--no-mask", "-e", "T=NPM_TOKEN", "--", "/secrets-bridge", "run", "--secret", "T", "--", "/secrets-bridge", "print", "T"]
"#,
    );
    buildah.build("app", &FTP_PROXY).said.succeeds().says(&buildah.context.token);
}

#[test]
fn isolation_by_chroot_leads_to_the_bridge_by_loopback() {
    let buildah = Buildah::new();
    buildah.dockerfile(&DOCKERFILE.replace("RUN ", "RUN secrets-bridge test && "));
    let build = buildah.build_command("app", &FTP_PROXY);
    let ran = buildah.context.run(&["--listen", "127.0.0.1:0"], &build);
    ran.said.succeeds().says("127.0.0.1:").says("keys: NPM_TOKEN").says("the token arrived");
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
    let ran = buildah.context.run(&options, &buildah.build_command("app", &FTP_PROXY));
    ran.said.succeeds().says("file: project").says("2 sessions, 0 keys read, 1 signature, 0 refusals");
    let found = buildah.search("app", [&ran]);
    assert!(found.iter().all(|found| is_conf_in_history(found)), "{found:#?}");
}

#[test]
fn a_missing_secret_and_a_dead_conf_stop_the_build_loudly() {
    let buildah = Buildah::new();
    buildah.dockerfile(&DOCKERFILE.replace("-e NPM_TOKEN", "-e ABSENT"));
    let ran = buildah.build("app", &FTP_PROXY);
    ran.said.fails().reports_code(125).says("ABSENT: the bridge has no such secret");

    buildah.dockerfile(DOCKERFILE);
    let dead = buildah.build_with_conf(&ran.conf);
    dead.fails()
        .reports_code(125)
        .says("no endpoint of the bridge answered")
        .does_not_say("the token arrived");
}

/// A build context, and names for images that no other test uses. Dropping it removes them.
struct Buildah {
    context: Context,
    prefix: String,
}

impl Buildah {
    fn new() -> Self {
        let buildah = Self { context: Context::new(), prefix: format!("sb-test-{}", random_hex(6)) };
        buildah.make_base();
        buildah.load_our_image();
        buildah
    }

    /// One for all tests: the storage is theirs alone, and is cleared after them.
    fn make_base(&self) {
        let mut look = self.buildah();
        look.args(["inspect", "--type", "image", BASE]);
        if said(look).code == Some(0) {
            return;
        }
        let container = self.prints(&["from", "scratch"]);
        let container = container.trim();
        self.prints(&["add", "--quiet", container, &setting("SECRETS_BRIDGE_TEST_BASE_TAR"), "/"]);
        self.prints(&["config", "--cmd", "sh", container]);
        self.prints(&["commit", "--quiet", "--rm", container, BASE]);
    }

    /// What `secrets-bridge image` writes is an archive for other tools than Docker too.
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

    /// Writes the Dockerfile: `base` and `secrets-bridge` stand for the images of these tests.
    fn dockerfile(&self, text: &str) {
        let text = text
            .replace("FROM base", &format!("FROM {BASE}"))
            .replace("--from=secrets-bridge", &format!("--from={}", self.tag("bridge")));
        self.context.write("Dockerfile", &text);
    }

    fn buildah(&self) -> Command {
        // Without a storage of its own, this would write into the user's.
        let storage = setting("CONTAINERS_STORAGE_CONF");
        let mut buildah = self.context.command("buildah");
        buildah.env("CONTAINERS_STORAGE_CONF", storage).env("BUILDAH_ISOLATION", "chroot");
        // It would look for credentials there, and fail if there were none.
        buildah.env_remove("DOCKER_CONFIG");
        buildah
    }

    fn build_command(&self, name: &str, options: &[&str]) -> Command {
        let mut build = self.buildah();
        build.args(["build", "--layers", "--force-rm", "--tag", &self.tag(name)]).args(options).arg(".");
        build
    }

    /// `secrets-bridge run … -- buildah build OPTIONS .`
    fn build(&self, name: &str, options: &[&str]) -> Ran {
        self.context.run(&[], &self.build_command(name, options))
    }

    /// `buildah build --build-arg FTP_PROXY .` without a bridge around it.
    fn build_with_conf(&self, conf: &str) -> Said {
        let mut build = self.build_command("app", &FTP_PROXY);
        build.env("FTP_PROXY", conf);
        said(build)
    }

    /// What `buildah ARGUMENTS` prints.
    fn prints(&self, arguments: &[&str]) -> String {
        let mut buildah = self.buildah();
        buildah.args(arguments);
        let said = said(buildah);
        said.succeeds();
        said.text
    }

    /// Configuration and history.
    fn inspect(&self, name: &str) -> String {
        self.prints(&["inspect", "--type", "image", &self.tag(name)])
    }

    /// Looks for the token, and for the confs of `runs`, in history, configuration and every byte of the saved image.
    fn search<'a>(&self, name: &str, runs: impl IntoIterator<Item = &'a Ran>) -> Vec<String> {
        let mut search = self.context.search(runs.into_iter().map(|ran| ran.conf.as_str()));
        search.look("buildah inspect", self.inspect(name).as_bytes());
        let archive = self.context.path("saved.tar");
        let tag = self.tag(name);
        self.prints(&["push", "--quiet", &tag, &format!("docker-archive:{}:{tag}", archive.display())]);
        search.look_into_archive(&archive);
        search.finds()
    }

    /// The conf is dead: no bridge answers.
    fn finds_dead(&self, conf: &str) {
        let mut print = self.context.command(binary());
        print.args(["print", "NPM_TOKEN"]).env("BRIDGE_CONF", conf);
        let said = said(print);
        assert_eq!(said.code, Some(125), "{}", said.text);
        said.says("no endpoint of the bridge answered");
    }
}

const BASE: &str = "localhost/secrets-bridge-test-base";

impl Drop for Buildah {
    fn drop(&mut self) {
        for name in ["again", "app", "bridge"] {
            let mut remove = self.buildah();
            remove.args(["rmi", "--force", &self.tag(name)]);
            // Most tests make only some of these images.
            said(remove);
        }
    }
}
