//! Real builds, by Docker's classic builder and by BuildKit: the secret arrives, and nothing of it stays.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use super::engine::{Builder, Docker, FTP_PROXY, every_builder};
use crate::context::{Context, confs_in, is_conf_in_history, said};

/// The build of the README. FTP_PROXY is one of Docker's predefined build-args: there is no ARG.
const DOCKERFILE: &str = "\
FROM base
COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/
COPY needs-the-token.sh .
RUN secrets-bridge exec -e NPM_TOKEN -- ./needs-the-token.sh
";

#[test]
fn the_secret_arrives_and_nothing_of_it_stays() {
    for docker in every_builder() {
        docker.dockerfile(DOCKERFILE);
        let first = docker.build("app", &FTP_PROXY);
        first.said.succeeds().says("the token arrived");
        first.said.says("1 session, 1 key read (NPM_TOKEN), 0 signatures, 0 refusals");
        assert_eq!(docker.search("app", [&first]), NOTHING);

        // Another bridge has another conf, and the layer cache does not care.
        let second = docker.build("again", &FTP_PROXY);
        second.said.succeeds().says("no connection arrived: every step cached");
        assert_ne!(first.conf, second.conf);
        assert_eq!(docker.layers("app"), docker.layers("again"));
        assert_eq!(docker.search("again", [&first, &second]), NOTHING);
    }
}

#[test]
fn a_declared_build_arg_leaves_a_dead_conf_in_the_history() {
    for docker in every_builder() {
        docker.dockerfile(&DOCKERFILE.replace("COPY needs", "ARG BRIDGE_CONF\nCOPY needs"));
        let first = docker.build("app", &["--build-arg", "BRIDGE_CONF"]);
        first.said.succeeds().says("the token arrived");

        // The history of the RUN holds it, as the builder writes down every ARG; so the configuration does, which is
        // where the history comes from.
        let history = docker.history("app");
        assert_eq!(confs_in(history.as_bytes()), [first.conf.clone()].into());
        let found = docker.search("app", [&first]);
        assert!(!found.is_empty() && found.iter().all(|found| is_conf_in_history(found)), "{found:#?}");
        docker.finds_dead(&first.conf);

        // A new bridge makes a new history: that RUN is done again.
        let second = docker.build("again", &["--build-arg", "BRIDGE_CONF"]);
        second.said.succeeds().says("1 session, 1 key read (NPM_TOKEN)");
    }
}

#[test]
fn a_conf_in_a_secret_file_leaves_nothing_either() {
    for docker in every_builder() {
        if docker.builder == Builder::Classic {
            continue; // It has no --mount.
        }
        docker.dockerfile(&DOCKERFILE.replace("RUN", "RUN --mount=type=secret,id=bridge_conf"));
        let secret = ["--secret", "id=bridge_conf,env=BRIDGE_CONF"];
        let first = docker.build("app", &secret);
        first.said.succeeds().says("the token arrived").says("1 session, 1 key read (NPM_TOKEN)");
        assert_eq!(docker.search("app", [&first]), NOTHING);

        let second = docker.build("again", &secret);
        second.said.succeeds().says("no connection arrived: every step cached");
        assert_eq!(docker.layers("app"), docker.layers("again"));
    }
}

#[test]
fn an_ordinary_user_gets_the_secret() {
    for docker in every_builder() {
        docker.dockerfile(
            "\
FROM base
COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/
RUN useradd --create-home node
WORKDIR /home/node
COPY needs-the-token.sh .
USER node
RUN [ \"$(id -un)\" = node ] && secrets-bridge exec -e NPM_TOKEN -- ./needs-the-token.sh
",
        );
        let ran = docker.build("app", &FTP_PROXY);
        ran.said.succeeds().says("the token arrived");
        assert_eq!(docker.search("app", [&ran]), NOTHING);
    }
}

#[test]
fn shells_chains_and_an_entrypoint_are_no_obstacle() {
    for docker in every_builder() {
        docker.dockerfile(
            "\
FROM base
COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/
COPY needs-the-token.sh .
ENTRYPOINT [\"secrets-bridge\", \"exec\", \"-e\", \"NPM_TOKEN\", \"--\"]
RUN secrets-bridge exec -e NPM_TOKEN -- ./needs-the-token.sh && touch /chained
RUN set -e; secrets-bridge exec -e NPM_TOKEN -- ./needs-the-token.sh; touch /sequenced
RUN secrets-bridge exec -e T=NPM_TOKEN --sh 'NPM_TOKEN=$T ./needs-the-token.sh'
SHELL [\"bash\", \"-e\", \"-o\", \"pipefail\", \"-c\"]
RUN [[ -n $BASH ]]; secrets-bridge exec -e NPM_TOKEN -- ./needs-the-token.sh | tee /said
RUN [\"secrets-bridge\", \"exec\", \"-e\", \"NPM_TOKEN\", \"--\", \"./needs-the-token.sh\"]
",
        );
        let ran = docker.build("app", &FTP_PROXY);
        ran.said.succeeds().says("5 sessions, 1 key read (NPM_TOKEN)");
        assert_eq!(docker.search("app", [&ran]), NOTHING);

        // The entrypoint is for `docker run`, which hands on variables as it is told to.
        let name = docker.tag("app");
        let mut start = docker.docker();
        start.args(["run", "--rm", "--env", "BRIDGE_CONF", &name, "./needs-the-token.sh"]);
        docker.context.run(&[], &start).said.succeeds().says("the token arrived").says("1 session");
    }
}

#[test]
fn a_failure_stops_chains_and_pipelines() {
    for docker in every_builder() {
        for step in [
            r#"secrets-bridge exec -e ABSENT -- touch /started && echo go"e"s on"#,
            r#"set -e; secrets-bridge exec -e ABSENT -- touch /started; echo go"e"s on"#,
            r#"set -e; secrets-bridge exec -e NPM_TOKEN -e ABSENT -- echo go"e"s on"#,
        ] {
            docker.dockerfile(
                &DOCKERFILE.replace("secrets-bridge exec -e NPM_TOKEN -- ./needs-the-token.sh", step),
            );
            let ran = docker.build("app", &FTP_PROXY);
            ran.said.fails().reports_code(125).does_not_say("goes on");
            ran.said.says("ABSENT: the bridge has no such secret").says("1 refusal");
        }
    }
}

#[test]
fn three_stages_at_once_are_three_sessions() {
    for docker in every_builder() {
        docker.dockerfile(
            "\
FROM base AS common
COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/
COPY needs-the-token.sh .
FROM common AS one
RUN secrets-bridge exec -e NPM_TOKEN -- ./needs-the-token.sh > /one
FROM common AS two
RUN secrets-bridge exec -e NPM_TOKEN -- ./needs-the-token.sh > /two
FROM common AS three
RUN secrets-bridge exec -e NPM_TOKEN -- ./needs-the-token.sh > /three
FROM common
COPY --from=one /one /
COPY --from=two /two /
COPY --from=three /three /
",
        );
        let ran = docker.build("app", &FTP_PROXY);
        ran.said.succeeds().says("3 sessions, 1 key read (NPM_TOKEN)");
        assert_eq!(docker.search("app", [&ran]), NOTHING);
    }
}

#[test]
fn an_image_without_a_shell_or_any_other_file_will_do() {
    for docker in every_builder() {
        // There is no other program than ours, so COMMAND is a bridge of its own, which offers the variable that it
        // was given; a client of that one prints it.
        docker.dockerfile(
            r#"FROM scratch
COPY --from=secrets-bridge /secrets-bridge /
COPY needs-the-token.sh /
RUN ["/secrets-bridge", "exec", "--no-mask", "-e", "T=NPM_TOKEN", "--", "/secrets-bridge", "run", "--secret", "T", "--", "/secrets-bridge", "print", "T"]
"#,
        );
        let ran = docker.build("app", &FTP_PROXY);
        ran.said.succeeds().says(&docker.context.token).says("1 session, 1 key read (NPM_TOKEN)");
        assert_eq!(docker.search("app", [&ran]), NOTHING);
    }
}

#[test]
fn the_hosts_own_network_leads_to_the_bridge_by_loopback() {
    for docker in every_builder() {
        docker.dockerfile(&DOCKERFILE.replace("RUN ", "RUN secrets-bridge test && "));
        let options = [FTP_PROXY.as_slice(), &["--network=host"]].concat();
        // Where a build shares the host's network, the bridge need not be open to any other.
        let ran = docker.build_with(&["--listen", "127.0.0.1:0"], "app", &options);
        ran.said.succeeds().says("127.0.0.1:").says("the token arrived");
    }
}

#[test]
fn a_build_without_a_network_gets_that_error() {
    for docker in every_builder() {
        docker.dockerfile(DOCKERFILE);
        let ran = docker.build("app", &[FTP_PROXY.as_slice(), &["--network=none"]].concat());
        ran.said.fails().reports_code(125).says("no endpoint of the bridge answered");
        ran.said.says("hint: only the loopback interface exists here (--network=none?)");
        ran.said.says("no connection arrived");
    }
}

#[test]
fn a_build_in_a_network_by_name_finds_the_host_too() {
    for docker in every_builder() {
        let network = Network::new(&docker);
        docker.dockerfile(&DOCKERFILE.replace("RUN ", "RUN secrets-bridge test && "));
        let ran = docker.build("app", &[FTP_PROXY.as_slice(), &["--network", &network.name]].concat());
        match docker.builder {
            Builder::Classic => ran.said.succeeds().says("keys: NPM_TOKEN").says("the token arrived"),
            Builder::BuildKit => ran.said.fails().says("not supported by buildkit"),
        };
    }
}

#[test]
fn a_bridge_in_a_container_is_reached_by_network_or_port() {
    for docker in every_builder() {
        docker.dockerfile(DOCKERFILE);
        let network = Network::new(&docker);
        let port = free_port();

        let hidden = BridgeContainer::start(&docker, &network, port, &[]);
        let build = docker.build_with_conf(&hidden.conf, &[]);
        build.fails().reports_code(125).says("no endpoint of the bridge answered");
        if docker.builder == Builder::Classic {
            let build = docker.build_with_conf(&hidden.conf, &["--network", &network.name]);
            build.succeeds().says("the token arrived");
        }
        drop(hidden);

        // Published under its own number, it is at the default gateway, where the client looks by itself.
        let published =
            BridgeContainer::start(&docker, &network, port, &["--publish", &format!("{port}:{port}")]);
        docker.build_with_conf(&published.conf, &["--no-cache"]).succeeds().says("the token arrived");
    }
}

#[test]
fn a_dead_conf_stops_the_build_loudly() {
    for docker in every_builder() {
        docker.dockerfile(DOCKERFILE);
        let ended = docker.context.run(&[], &Command::new("true"));
        let build = docker.build_with_conf(&ended.conf, &[]);
        build.fails().reports_code(125).does_not_say("the token arrived");
        build
            .says("no endpoint of the bridge answered")
            .says("refused")
            .says("is `serve` still running on the host?");

        // Without any conf it is as loud.
        let build = docker.build_with_conf("", &[]);
        build.fails().reports_code(125).says("no bridge conf was found").says("$FTP_PROXY: ");
    }
}

/// Needs no Docker: a search that overlooks something would make every other test here pass.
#[test]
fn the_search_overlooks_no_form_of_a_secret() {
    let mut context = Context::new();
    context.token = "npm_s3cr3t+/token=".to_owned();
    // Made by other programs: base64, od, python's urllib.
    for (form, text) in [
        ("raw", "x npm_s3cr3t+/token= y"),
        ("base64 at offset 0", "bnBtX3MzY3IzdCsvdG9rZW49"),
        ("base64 at offset 1", "YW5wbV9zM2NyM3QrL3Rva2VuPWI="),
        ("base64 at offset 2", "YWFucG1fczNjcjN0Ky90b2tlbj1i"),
        ("URL-encoded", "npm_s3cr3t%2B%2Ftoken%3D"),
        ("URL-encoded in lower case", "npm_s3cr3t%2b%2ftoken%3d"),
        ("hex", "6e706d5f7333637233742b2f746f6b656e3d"),
        ("hex in upper case", "6E706D5F7333637233742B2F746F6B656E3D"),
    ] {
        let found =
            context.search([]).look("it", text.as_bytes()).look("proof", context.hash().as_bytes()).finds();
        assert!(found.contains(&format!("the token, {form}, in it")), "{form}: {found:?}");
    }
}

/// What a search has to find.
const NOTHING: Vec<String> = Vec::new();

/// A network of Docker's. Dropping it removes it.
struct Network<'a> {
    docker: &'a Docker,
    name: String,
}

impl<'a> Network<'a> {
    fn new(docker: &'a Docker) -> Self {
        let name = docker.tag("net");
        docker.prints(&["network", "create", &name]);
        Self { docker, name }
    }
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        let mut remove = self.docker.docker();
        remove.args(["network", "rm", &self.name]);
        said(remove);
    }
}

/// A bridge that is itself in a container, as in a CI job beside a mounted docker.sock. Dropping it removes it.
struct BridgeContainer<'a> {
    docker: &'a Docker,
    id: String,
    conf: String,
}

impl<'a> BridgeContainer<'a> {
    fn start(docker: &'a Docker, network: &Network<'_>, port: u16, options: &[&str]) -> Self {
        let listen = format!(":{port}");
        let token = format!("NPM_TOKEN={}", docker.context.token);
        let image = docker.tag("bridge");
        let id = docker.prints(
            &[
                ["run", "--detach", "--network", &network.name].as_slice(),
                options,
                &[&image, "/secrets-bridge", "serve", "--listen", &listen, "--secret", &token],
            ]
            .concat(),
        );
        let mut container = Self { docker, id: id.trim().to_owned(), conf: String::new() };
        // The conf is the first line, and comes when the bridge accepts connections.
        let mut logs = docker.docker();
        logs.args(["logs", "--follow", &container.id]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut logs = logs.spawn().unwrap();
        let mut conf = String::new();
        BufReader::new(logs.stdout.take().unwrap()).read_line(&mut conf).unwrap();
        logs.kill().unwrap();
        logs.wait().unwrap();
        container.conf = conf.trim().to_owned();
        container
    }
}

impl Drop for BridgeContainer<'_> {
    fn drop(&mut self) {
        let mut remove = self.docker.docker();
        remove.args(["rm", "--force", &self.id]);
        said(remove);
    }
}

/// A port that is free now. A published port has to be known before the bridge starts.
fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}
