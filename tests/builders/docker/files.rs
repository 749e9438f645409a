//! Secrets as files, together with variables and agents: in images without a shell, for ordinary users, and after SIGKILL.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::engine::{Docker, FTP_PROXY, every_builder};
use crate::context;
use crate::context::{Search, binary, outcome};
use crate::support::Bridge;
use crate::support::require::require;
use crate::support::ssh::{SSH_SERVER, Scene};

/// Shows that file, variable and agent arrived without printing the token, which would be masked: prints the bytes of the
/// file plus one, whether the variable has the same value, and what the agent answers.
const READER: &str = r#"
use std::io::{Read, Write};
fn main() {
    let token = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let shown: String = token.iter().map(|byte| char::from(byte + 1)).collect();
    println!("file: {shown}");
    println!("variable: {}", std::env::var("NPM_TOKEN").unwrap().as_bytes() == token);
    let mut agent = std::os::unix::net::UnixStream::connect(std::env::var("SSH_AUTH_SOCK").unwrap()).unwrap();
    agent.write_all(&[0, 0, 0, 1, 11]).unwrap();
    let mut answer = [0; 9];
    agent.read_exact(&mut answer).unwrap();
    println!("agent: {answer:?}");
}
"#;

#[test]
fn an_image_from_scratch_gets_files_variables_and_the_agent() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let agent = format!("default={}", scene.agent.socket.display());
    for docker in every_builder() {
        let context = &docker.context;
        fs::create_dir_all(context.path("bin/work")).unwrap();
        // The control of the search.
        context.write("bin/work/control", &context.hash());
        context.write("reader.rs", READER);
        let mut rustc = context.command("rustc");
        rustc.args(["--edition=2024", "-Ctarget-feature=+crt-static", "-o", "bin/reader", "reader.rs"]);
        outcome(rustc).succeeds();

        for user in ["", "USER 1000:1000\n"] {
            docker.dockerfile(&format!(
                "FROM scratch\n\
                 COPY --from=secrets-bridge /secrets-bridge /\n\
                 COPY bin/reader /\n\
                 COPY --chown=1000:1000 bin/work /work\n\
                 {user}\
                 RUN [\"/secrets-bridge\", \"exec\", \"-e\", \"NPM_TOKEN\", \"--ssh\", \
                 \"--file\", \"NPM_TOKEN=/work/in/token\", \"--\", \"/reader\", \"/work/in/token\"]\n"
            ));
            let run = docker.build_with(&["--ssh", &agent], "app", &FTP_PROXY);
            let shown: String = context.token.bytes().map(|byte| char::from(byte + 1)).collect();
            run.outcome.succeeds().says(&format!("file: {shown}\n")).says("variable: true");
            // SSH_AGENT_IDENTITIES_ANSWER with one key.
            run.outcome.says(", 12, 0, 0, 0, 1]");
            assert_eq!(docker.search("app", [&run]), Vec::<String>::new());
        }
    }
}

#[test]
fn an_ordinary_user_gets_a_file_at_home_and_it_is_removed() {
    for docker in every_builder() {
        docker.dockerfile(
            "\
FROM base
COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/
RUN useradd --create-home node
WORKDIR /home/node
COPY needs-the-token.sh .
USER node
RUN secrets-bridge exec --file NPM_TOKEN=~/.config/npm/token,mode=0400 --sh \
    'NPM_TOKEN=$(cat ~/.config/npm/token) ./needs-the-token.sh && stat -Lc \"%a %U\" ~/.config/npm/token' \
    && [ ! -e ~/.config ]
",
        );
        let run = docker.build("app", &FTP_PROXY);
        run.outcome.succeeds().says("the token arrived").says("400 node");
        assert_eq!(docker.search("app", [&run]), Vec::<String>::new());
    }
}

/// A COMMAND that uses the variable, the file and the agent.
const USES: &str = "set -e; [ -n \"$NPM_TOKEN\" ]; cat ~/.npmrc > /dev/null; ssh-add -l";

#[test]
fn a_step_whose_exec_was_killed_leaves_no_byte_of_a_secret() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let agent = format!("default={}", scene.agent.socket.display());
    for docker in every_builder() {
        docker.dockerfile(&format!(
            "FROM base\n\
             COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/\n\
             COPY needs-the-token.sh .\n\
             RUN secrets-bridge exec -e NPM_TOKEN --file NPM_TOKEN=~/.npmrc --ssh --sh \
             '{USES}; kill -KILL $PPID'; [ $? = 137 ] && readlink ~/.npmrc\n"
        ));
        let run = docker.build_with(&["--ssh", &agent], "app", &FTP_PROXY);
        run.outcome.succeeds().says("deploy key").says("/dev/shm/");
        assert_eq!(docker.search("app", [&run]), Vec::<String>::new());
    }
}

#[test]
fn a_containers_layer_never_holds_a_byte_of_a_secret() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let docker = every_builder().next().unwrap();
    let agent = format!("default={}", scene.agent.socket.display());
    let token = docker.context.path("token.txt");
    let secret = format!("id=NPM_TOKEN,src={}", token.display());
    let bridge = Bridge::serve(["--listen", ":0", "--secret", &secret, "--ssh", &agent]);
    let script = format!(
        "echo {} > /control
         secrets-bridge exec -e NPM_TOKEN --file NPM_TOKEN=~/.npmrc --ssh --sh '{USES}; exec sleep 600' &
         echo $! > /exec; wait $!; echo ended; exec sleep 600",
        docker.context.hash()
    );
    let container = Container::start(&docker, &bridge.conf, &script);
    let upper = container.upper();

    container.prints("deploy key");
    let search = || {
        let mut search = docker.context.search([bridge.conf.as_str()]);
        check_directory(&mut search, &upper);
        search.findings()
    };
    assert_eq!(search(), Vec::<String>::new(), "while COMMAND runs");
    container.sh("kill -KILL $(cat /exec)");
    container.prints("ended");
    assert_eq!(search(), Vec::<String>::new(), "after SIGKILL");
}

/// Checks the name and the contents of every file under `path`, and the targets of links.
fn check_directory(search: &mut Search, path: &Path) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let place = path.display().to_string();
        search.check("a name", place.as_bytes());
        if path.is_symlink() {
            search.check(&place, fs::read_link(&path).unwrap().as_os_str().as_encoded_bytes());
        } else if path.is_dir() {
            check_directory(search, &path);
        } else if path.is_file() {
            search.check(&place, &fs::read(&path).unwrap());
        }
    }
}

/// A container that runs a script. Dropping it removes it.
struct Container<'a> {
    docker: &'a Docker,
    id: String,
}

impl<'a> Container<'a> {
    fn start(docker: &'a Docker, conf: &str, script: &str) -> Self {
        let volume = format!("{}:/usr/local/bin/secrets-bridge:ro", binary().display());
        let image = context::setting("SECRETS_BRIDGE_TEST_BASE");
        let mut run = docker.docker();
        run.args([
            "run",
            "--detach",
            "--volume",
            &volume,
            "--env",
            "BRIDGE_CONF",
            &image,
            "sh",
            "-c",
            script,
        ]);
        run.env("BRIDGE_CONF", conf);
        let outcome = outcome(run);
        outcome.succeeds();
        Self { docker, id: outcome.text.trim().to_owned() }
    }

    /// Waits for a line of its stdout that contains `words`.
    fn prints(&self, words: &str) {
        let mut logs = self.docker.docker();
        logs.args(["logs", "--follow", &self.id]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut logs = logs.spawn().unwrap();
        let mut lines = BufReader::new(logs.stdout.take().unwrap()).lines().map(Result::unwrap);
        let found = lines.any(|line| line.contains(words));
        logs.kill().unwrap();
        logs.wait().unwrap();
        let all = || self.docker.prints(&["logs", &self.id]);
        assert!(found, "the container ended without printing {words:?}: {}", all());
    }

    fn sh(&self, script: &str) {
        self.docker.prints(&["exec", &self.id, "sh", "-c", script]);
    }

    /// The upper directory of its overlay: what it has written, as seen from the host.
    fn upper(&self) -> std::path::PathBuf {
        let template = "{{.GraphDriver.Data.UpperDir}}";
        let upper = self.docker.prints(&["inspect", "--format", template, &self.id]);
        let upper = Path::new(upper.trim()).to_owned();
        if let Err(error) = fs::read_dir(&upper) {
            panic!("cannot read the container's layer at {}: {error}", upper.display());
        }
        upper
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let mut remove: Command = self.docker.docker();
        remove.args(["rm", "--force", &self.id]);
        outcome(remove);
    }
}
