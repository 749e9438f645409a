//! Builds by Docker's classic builder and by BuildKit: the secret arrives, and the image does not contain it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use super::engine::{Builder, Docker, FTP_PROXY, every_builder};
use crate::context::{Context, confs_in, is_conf_in_history, outcome};

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
        first.outcome.succeeds().says("the token arrived");
        first.outcome.says("1 session, 1 key read (NPM_TOKEN), 0 signatures, 0 refusals");
        assert_eq!(docker.search("app", [&first]), NOTHING);

        // A new bridge has a new conf, which does not invalidate the layer cache.
        let second = docker.build("again", &FTP_PROXY);
        second.outcome.succeeds().says("no connection arrived: every step cached");
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
        first.outcome.succeeds().says("the token arrived");

        // Builders record the value of every ARG in the history of the RUN, which is stored in the image's configuration.
        let history = docker.history("app");
        assert_eq!(confs_in(history.as_bytes()), [first.conf.clone()].into());
        let found = docker.search("app", [&first]);
        assert!(!found.is_empty() && found.iter().all(|found| is_conf_in_history(found)), "{found:#?}");
        docker.assert_dead(&first.conf);

        // The conf of a new bridge changes that history, so the RUN is not cached.
        let second = docker.build("again", &["--build-arg", "BRIDGE_CONF"]);
        second.outcome.succeeds().says("1 session, 1 key read (NPM_TOKEN)");
    }
}

#[test]
fn a_conf_in_a_secret_file_leaves_nothing_in_the_image() {
    for docker in every_builder() {
        if docker.builder == Builder::Classic {
            continue; // This builder has no --mount.
        }
        docker.dockerfile(&DOCKERFILE.replace("RUN", "RUN --mount=type=secret,id=bridge_conf"));
        let secret = ["--secret", "id=bridge_conf,env=BRIDGE_CONF"];
        let first = docker.build("app", &secret);
        first.outcome.succeeds().says("the token arrived").says("1 session, 1 key read (NPM_TOKEN)");
        assert_eq!(docker.search("app", [&first]), NOTHING);

        let second = docker.build("again", &secret);
        second.outcome.succeeds().says("no connection arrived: every step cached");
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
        let run = docker.build("app", &FTP_PROXY);
        run.outcome.succeeds().says("the token arrived");
        assert_eq!(docker.search("app", [&run]), NOTHING);
    }
}

#[test]
fn exec_works_in_shells_chains_and_as_an_entrypoint() {
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
RUN [[ -n $BASH ]]; secrets-bridge exec -e NPM_TOKEN -- ./needs-the-token.sh | tee /output
RUN [\"secrets-bridge\", \"exec\", \"-e\", \"NPM_TOKEN\", \"--\", \"./needs-the-token.sh\"]
",
        );
        let run = docker.build("app", &FTP_PROXY);
        run.outcome.succeeds().says("5 sessions, 1 key read (NPM_TOKEN)");
        assert_eq!(docker.search("app", [&run]), NOTHING);

        // The entrypoint runs in `docker run`, which passes the named variables on.
        let name = docker.tag("app");
        let mut start = docker.docker();
        start.args(["run", "--rm", "--env", "BRIDGE_CONF", &name, "./needs-the-token.sh"]);
        docker.context.run(&[], &start).outcome.succeeds().says("the token arrived").says("1 session");
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
            let run = docker.build("app", &FTP_PROXY);
            run.outcome.fails().reports_code(125).never_says("goes on");
            run.outcome.says("ABSENT: the bridge has no such secret").says("1 refusal");
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
        let run = docker.build("app", &FTP_PROXY);
        run.outcome.succeeds().says("3 sessions, 1 key read (NPM_TOKEN)");
        assert_eq!(docker.search("app", [&run]), NOTHING);
    }
}

#[test]
fn exec_works_in_an_image_without_any_other_file() {
    for docker in every_builder() {
        // The image has no other program, so COMMAND is a second bridge, which offers the variable T that it got, and whose
        // client prints T.
        docker.dockerfile(
            r#"FROM scratch
COPY --from=secrets-bridge /secrets-bridge /
COPY needs-the-token.sh /
RUN ["/secrets-bridge", "exec", "--no-mask", "-e", "T=NPM_TOKEN", "--", "/secrets-bridge", "run", "--secret", "T", "--", "/secrets-bridge", "print", "T"]
"#,
        );
        let run = docker.build("app", &FTP_PROXY);
        run.outcome.succeeds().says(&docker.context.token).says("1 session, 1 key read (NPM_TOKEN)");
        assert_eq!(docker.search("app", [&run]), NOTHING);
    }
}

#[test]
fn in_the_hosts_network_the_bridge_is_on_loopback() {
    for docker in every_builder() {
        docker.dockerfile(&DOCKERFILE.replace("RUN ", "RUN secrets-bridge test && "));
        let options = [FTP_PROXY.as_slice(), &["--network=host"]].concat();
        // A build in the host's network needs no other address of the bridge than loopback.
        let run = docker.build_with(&["--listen", "127.0.0.1:0"], "app", &options);
        run.outcome.succeeds().says("127.0.0.1:").says("the token arrived");
    }
}

#[test]
fn a_build_without_a_network_fails_with_a_hint() {
    for docker in every_builder() {
        docker.dockerfile(DOCKERFILE);
        let run = docker.build("app", &[FTP_PROXY.as_slice(), &["--network=none"]].concat());
        run.outcome.fails().reports_code(125).says("no endpoint of the bridge answered");
        run.outcome.says("hint: only the loopback interface exists here (--network=none?)");
        run.outcome.says("no connection arrived");
    }
}

#[test]
fn a_build_in_a_named_network_reaches_the_host() {
    for docker in every_builder() {
        let network = Network::new(&docker);
        docker.dockerfile(&DOCKERFILE.replace("RUN ", "RUN secrets-bridge test && "));
        let run = docker.build("app", &[FTP_PROXY.as_slice(), &["--network", &network.name]].concat());
        match docker.builder {
            Builder::Classic => run.outcome.succeeds().says("keys: NPM_TOKEN").says("the token arrived"),
            Builder::BuildKit => run.outcome.fails().says("not supported by buildkit"),
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

        // A port that is published with the same number is reached at the default gateway, which every client tries.
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
        build.fails().reports_code(125).never_says("the token arrived");
        build
            .says("no endpoint of the bridge answered")
            .says("refused")
            .says("is `serve` still running on the host?");

        // The build also fails without any conf.
        let build = docker.build_with_conf("", &[]);
        build.fails().reports_code(125).says("no bridge conf was found").says("$FTP_PROXY: ");
    }
}

/// If the search overlooked an encoding, the other tests could pass although the image contains the secret.
#[test]
fn the_search_finds_every_encoding_of_a_secret() {
    let mut context = Context::new();
    context.token = "npm_s3cr3t+/token=".to_owned();
    // Encoded by other programs: base64, od, Python's urllib.
    for (encoding, text) in [
        ("raw", "x npm_s3cr3t+/token= y"),
        ("base64 at offset 0", "bnBtX3MzY3IzdCsvdG9rZW49"),
        ("base64 at offset 1", "YW5wbV9zM2NyM3QrL3Rva2VuPWI="),
        ("base64 at offset 2", "YWFucG1fczNjcjN0Ky90b2tlbj1i"),
        ("URL-encoded", "npm_s3cr3t%2B%2Ftoken%3D"),
        ("URL-encoded in lower case", "npm_s3cr3t%2b%2ftoken%3d"),
        ("hex", "6e706d5f7333637233742b2f746f6b656e3d"),
        ("hex in upper case", "6E706D5F7333637233742B2F746F6B656E3D"),
    ] {
        let found = context
            .search([])
            .check("it", text.as_bytes())
            .check("control", context.hash().as_bytes())
            .findings();
        assert!(found.contains(&format!("the token, {encoding}, in it")), "{encoding}: {found:?}");
    }
}

/// The findings of a search in an image without secrets.
const NOTHING: Vec<String> = Vec::new();

/// A Docker network. Dropping it removes it.
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
        outcome(remove);
    }
}

/// A bridge in a container, as in a CI job with a mounted docker.sock. Dropping it removes the container.
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
        // The first line is the conf. The bridge prints it once it accepts connections.
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
        outcome(remove);
    }
}

/// A port that is free now: `docker run --publish` needs it before the bridge starts.
fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}
