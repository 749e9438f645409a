//! HTTP credentials in builds by Docker's two builders.

use super::engine::{Builder, FTP_PROXY, every_builder, gateway};
use crate::http::search::{SearchedBuild, interface_of};
use crate::http::{Served, assert_built, dockerfile};
use crate::support::registries::REGISTRIES;
use crate::support::require::{HTTPS_SERVER, MOUNT_NAMESPACE, PTRACE, ROOT, TCPDUMP, require};

#[test]
fn npm_pip_and_git_install_without_a_credential_in_the_build() {
    require!(REGISTRIES, HTTPS_SERVER, MOUNT_NAMESPACE);
    for docker in every_builder() {
        let served = Served::start(&docker.context.token);
        served.npm_files(&docker.context);
        docker.dockerfile(&dockerfile(&served.port));
        let image = docker.tag("app");
        let options = ["--scan", &image, "--engine", "docker"];
        let build = docker.build_command("app", &FTP_PROXY);
        let run = served.run(&docker.context, &options, &build);
        assert_built(&run, &served);
        run.outcome.says("no secret found: images: 1");
        run.outcome.says(&format!("npm.example{}: ", served.port));
        assert_eq!(docker.search("app", [&run]), Vec::<String>::new());
        // The scan looks for these credentials: it finds one that a step has.
        docker.dockerfile(&format!(
            "FROM {}\nRUN echo '{}' > /leaked\n",
            docker.tag("app"),
            docker.context.token
        ));
        let again = docker.tag("again");
        let build = docker.build_command("again", &[]);
        let options = ["--scan", &again, "--engine", "docker"];
        served.run(&docker.context, &options, &build).outcome.fails().says("leaked");
    }
}

#[test]
fn the_credential_is_nowhere_in_a_build() {
    require!(REGISTRIES, MOUNT_NAMESPACE, ROOT, PTRACE, TCPDUMP);
    for docker in every_builder() {
        let searched = SearchedBuild::start(&docker.context);
        docker.dockerfile(&searched.dockerfile(&docker.context, gateway()));
        let build = docker.build_command("app", &FTP_PROXY);
        let run = searched.build(&docker.context, &interface_of(gateway()), &[], &build);
        assert_eq!(docker.search("app", [&run]), Vec::<String>::new());
    }
}

#[test]
fn exec_needs_neither_a_root_user_nor_a_shell_nor_files_of_the_image() {
    require!(REGISTRIES, HTTPS_SERVER, MOUNT_NAMESPACE);
    for docker in every_builder() {
        let served = Served::start(&docker.context.token);
        let url = format!("https://npm.example{}/second", served.port);
        // The second image has curl, its libraries and our program, and no roots, shell, /tmp or /etc/passwd. There `exec` is
        // process 1.
        docker.dockerfile(&format!(
            "\
FROM base AS parts
COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/
COPY needs-the-token.sh /
RUN mkdir /out && cp --parents -L $(which curl) $(ldd $(which curl) | grep -o '/[^ ]*') /out/
RUN useradd --create-home app
USER app
RUN secrets-bridge exec --http -- curl -sSf {url}
FROM scratch
COPY --from=parts /out /
COPY --from=parts /needs-the-token.sh /
COPY --from=secrets-bridge /secrets-bridge /
RUN [\"/secrets-bridge\", \"exec\", \"--http\", \"--\", \"/usr/bin/curl\", \"-sSf\", \"{url}\"]
"
        ));
        let run = served.run(&docker.context, &[], &docker.build_command("app", &FTP_PROXY));
        run.outcome.succeeds();
        let requests = served.front.answered();
        let good = requests.iter().filter(|request| request.status == 200).count();
        assert_eq!(good, 2, "{requests:#?}");
        assert_eq!(docker.search("app", [&run]), Vec::<String>::new());
    }
}

#[test]
fn a_container_with_a_read_only_root_uses_the_rule() {
    require!(REGISTRIES, HTTPS_SERVER, MOUNT_NAMESPACE);
    for docker in every_builder().filter(|docker| docker.builder == Builder::Classic) {
        let served = Served::start(&docker.context.token);
        docker.dockerfile("FROM base\nCOPY --from=secrets-bridge /secrets-bridge /usr/local/bin/\n");
        crate::context::outcome(docker.build_command("app", &[])).succeeds();
        let image = docker.tag("app");
        let url = format!("https://npm.example{}/second", served.port);
        let script = format!("secrets-bridge exec --http -- curl -sSf {url} && touch /x");
        for user in ["0", "65534"] {
            let mut start = docker.docker();
            start.args(["run", "--rm", "--read-only", "--user", user, "--env", "BRIDGE_CONF", &image]);
            start.args(["sh", "-c", &script]);
            let run = served.run(&docker.context, &[], &start);
            run.outcome.fails().says("\"name\": \"second\"").says("Read-only file system");
        }
    }
}

#[test]
fn builds_with_a_proxy_of_their_own_use_both() {
    require!(REGISTRIES, HTTPS_SERVER, MOUNT_NAMESPACE);
    for docker in every_builder() {
        let served = Served::start(&docker.context.token);
        let proxy = crate::support::https::corporate_proxy::CorporateProxy::start_at(gateway(), &[], None);
        let url = format!("https://npm.example{}/second", served.port);
        docker.dockerfile(&format!(
            "\
FROM base
COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/
COPY needs-the-token.sh /
RUN secrets-bridge exec --http --sh 'curl -sSf {url}; curl -sS https://unruled.example/; echo \"direct: $?\"'
"
        ));
        // As a company's configuration of the client passes them to every step of a build.
        let argument = |name: &str| format!("{name}={}", proxy.url());
        let arguments = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"].map(argument);
        let mut options = FTP_PROXY.to_vec();
        for argument in &arguments {
            options.extend(["--build-arg", argument]);
        }
        options.extend(["--build-arg", "NO_PROXY=localhost,npm.example"]);
        // The bridge itself is at an address of this machine: its endpoints need no proxy.
        let run = served.run(&docker.context, &[], &docker.build_command("app", &options));
        run.outcome.succeeds().says("\"name\": \"second\"").never_says("direct: 0");
        assert!(proxy.asked().iter().all(|asked| asked == "unruled.example:443"), "{:?}", proxy.asked());
        assert!(!proxy.asked().is_empty());
    }
}
