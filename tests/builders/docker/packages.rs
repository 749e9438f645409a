//! The recipes of docs/RECIPES.md with real package managers and private registries: the image contains the package and no
//! secret. If a further step writes the secret to a file, the leak check and `scan` find it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::engine::{Docker, FTP_PROXY, every_builder, gateway};
use crate::context::{Outcome, random_hex};
use crate::recipes::Recipe;
use crate::support::Start as _;
use crate::support::git_server::{Account, GitServer};
use crate::support::registries::files::FileServer;
use crate::support::registries::npm::Npm;
use crate::support::registries::pypi::Pypi;
use crate::support::registries::{Installed, REGISTRIES, files, npm, pypi};
use crate::support::require::{HTTPS_SERVER, NGINX, require};
use crate::support::ssh::{SSH_SERVER, Scene};

#[test]
fn pip_installs_from_a_private_index() {
    require!(REGISTRIES);
    let installed = Installed::find();
    let password = format!("pip_{}+/?{}~=", random_hex(12), random_hex(12));
    let index = Pypi::start(&installed, gateway(), &password);
    let host = index.address().ip();
    for docker in every_builder() {
        let recipe = Recipe::of("pip from a private index")
            .with("https://pypi.example/", &format!("http://{}/", index.address()))
            .with("$HOME/", "");
        let netrc = format!("machine {host} login {} password {password}\n", pypi::USER);
        docker.context.write(".netrc", &netrc);
        RecipeTest {
            docker: &docker,
            recipe: &recipe,
            options: &[],
            // Debian's pip refuses to install outside of virtual environments by default.
            before: &format!("ENV PIP_TRUSTED_HOST={host} PIP_BREAK_SYSTEM_PACKAGES=1\n"),
            check: "RUN python3 -c 'import private_demo'\n",
            output: pypi::OUTPUT,
            leaks: &[
                Leak {
                    step: "--file netrc=~/.netrc -- cp ~/.netrc /opt/netrc",
                    path: "opt/netrc",
                    key: "netrc",
                    encoding: "raw",
                },
                Leak {
                    step: "--file netrc=~/.netrc --sh 'base64 --wrap=0 ~/.netrc > /opt/encoded'",
                    path: "opt/encoded",
                    key: "netrc",
                    encoding: "base64",
                },
                Leak {
                    step: "--file netrc=~/.netrc --sh 'pip config set global.index-url \
                           \"http://builder:$(sed \"s/.*password //\" ~/.netrc)@pypi.example/simple/\"'",
                    path: "root/.config/pip/pip.conf",
                    key: "netrc",
                    encoding: "raw",
                },
            ],
        }
        .run();
    }
}

#[test]
fn npm_installs_from_a_private_registry() {
    require!(REGISTRIES);
    let installed = Installed::find();
    let registry = Npm::start(&installed, gateway(), &random_hex(12));
    for docker in every_builder() {
        let recipe = Recipe::of("npm from a private registry").with("$HOME/", "");
        docker.context.write(".npmrc", &registry.npmrc);
        copy(&installed.node().join("bin/node"), &docker.context.path("bin/node/bin/node"));
        copy(&installed.node().join("lib/node_modules/npm"), &docker.context.path("bin/node/lib/npm"));
        copy(&registry.project.path("."), &docker.context.path("bin/project"));
        RecipeTest {
            docker: &docker,
            recipe: &recipe,
            options: &[],
            before: "COPY bin/node /opt/node\n\
                     RUN ln -s /opt/node/bin/node /usr/local/bin/ \
                     && ln -s /opt/node/lib/npm/bin/npm-cli.js /usr/local/bin/npm\n\
                     WORKDIR /app\n\
                     COPY bin/project .\n",
            check: "RUN node -e 'require(\"private-demo\")'\n",
            output: npm::OUTPUT,
            leaks: &[Leak {
                step: "--file npmrc=~/.npmrc --sh 'npm install --no-save \
                       \"$(npm config get registry)private-demo/-/private-demo-1.0.0.tgz\
                       ?token=$(sed -n s/.*_authToken=//p ~/.npmrc)\"'",
                path: "root/.npm/_logs/",
                key: "npmrc",
                encoding: "raw",
            }],
        }
        .run();
    }
}

#[test]
fn curl_reads_with_a_client_certificate() {
    require!(NGINX);
    let server = FileServer::start(gateway());
    for docker in every_builder() {
        let recipe =
            Recipe::of("curl with a client certificate").with("files.example", &server.address().to_string());
        docker.context.write("client.pem", &server.client_certificate);
        docker.context.write("client.key", &server.client_key);
        fs::create_dir(docker.context.path("bin")).unwrap();
        docker.context.write("bin/ca.pem", &server.ca);
        RecipeTest {
            docker: &docker,
            recipe: &recipe,
            options: &[],
            before: "COPY bin/ca.pem /etc/ssl/throwaway.pem\nENV CURL_CA_BUNDLE=/etc/ssl/throwaway.pem\n",
            check: "RUN cat model.bin\n",
            output: files::CONTENTS,
            leaks: &[Leak {
                step: "--file client.key=~/client.key -- cp ~/client.key /opt/key",
                path: "opt/key",
                key: "client.key",
                encoding: "raw",
            }],
        }
        .run();
    }
}

#[test]
fn git_clones_over_https() {
    require!(HTTPS_SERVER);
    let account = Account { path: "/org/", user: "builder", password: "git_+/?hunter2~=" };
    let address = gateway().to_string();
    let server = GitServer::start(gateway(), &[&address], &[account]);
    server.repository("org/project.git", &[("file", "cloned over https\n")], &[]);
    let host = format!("{address}:{}", server.port);
    for docker in every_builder() {
        let recipe = Recipe::of("git over https").with("git.example", &host);
        docker.context.write("git-token", &format!("{}:{}", account.user, account.password));
        copy(&server.ca(), &docker.context.path("bin/ca.pem"));
        RecipeTest {
            docker: &docker,
            recipe: &recipe,
            options: &[],
            before: "COPY bin/ca.pem /etc/ssl/throwaway.pem\nENV GIT_SSL_CAINFO=/etc/ssl/throwaway.pem\n",
            check: "RUN cat project/file\n",
            output: "cloned over https",
            leaks: &[Leak {
                step: "-e T=git --sh 'git -C project remote add mine https://$T@git.example/org/mine'",
                path: "project/.git/config",
                key: "git",
                encoding: "raw",
            }],
        }
        .run();
    }
}

#[test]
fn cargo_fetches_from_a_private_git_repository() {
    require!(SSH_SERVER);
    let scene = Scene::at(Ipv4Addr::UNSPECIFIED.into());
    let (repository, known_hosts) = (crate_repository(&scene), scene.path("known_hosts"));
    let host = scene.server.name_at(gateway());
    fs::write(&known_hosts, format!("{host} {}\n", scene.server.host_key())).unwrap();
    let url = format!("ssh://{}@{}:{}{}", scene.user, gateway(), scene.server.port, repository.display());
    let key = format!("id=deploy_key,src={}", scene.key.path.display());
    for docker in every_builder() {
        let recipe = Recipe::of("cargo from a private git dependency")
            .with("deploy_key", scene.key.path.to_str().unwrap())
            .with("git.example", &host);
        copy(Path::new(&std::env::var_os("CARGO").unwrap()), &docker.context.path("bin/cargo"));
        let manifest = format!(
            "[package]\nname = \"app\"\nedition = \"2021\"\n[dependencies]\nprivate-demo.git = {url:?}\n"
        );
        docker.context.write("bin/Cargo.toml", &manifest);
        RecipeTest {
            docker: &docker,
            recipe: &recipe,
            options: &["--secret", &key, "--ssh-known-hosts", known_hosts.to_str().unwrap()],
            // No compiler: `cargo vendor` does not need one.
            before: "COPY bin/cargo /usr/local/bin/\n\
                     WORKDIR /app\n\
                     COPY bin/Cargo.toml .\n\
                     RUN mkdir src && touch src/lib.rs\n",
            check: "RUN cat vendor/private-demo/src/lib.rs\n",
            output: CRATE_COMMENT,
            leaks: &[Leak {
                step: "--no-ssh-agent --file deploy_key=~/.ssh/id_ed25519 -- cp -rL ~/.ssh /opt/backup",
                path: "opt/backup/id_ed25519",
                key: "deploy_key",
                encoding: "raw",
            }],
        }
        .run();
    }
}

/// A comment in the crate of the private repository.
const CRATE_COMMENT: &str = "vendored from the private repository";

/// A test of one recipe.
struct RecipeTest<'a> {
    docker: &'a Docker,
    recipe: &'a Recipe,
    /// Options of `run` in addition to those of the recipe.
    options: &'a [&'a str],
    /// Lines of the Dockerfile before the steps of the recipe.
    before: &'a str,
    /// A step after the recipe, and what it prints.
    check: &'a str,
    output: &'a str,
    leaks: &'a [Leak],
}

/// A step that writes a secret to a file of the image.
struct Leak {
    /// The arguments of `exec`.
    step: &'static str,
    /// The path of the file, or its beginning.
    path: &'static str,
    key: &'static str,
    encoding: &'static str,
}

impl Leak {
    /// Whether a line names file, key and encoding.
    fn is_named_in(&self, outcome: &Outcome) -> bool {
        let parts = [self.path.to_owned(), format!("{} (", self.key), format!("{})", self.encoding)];
        outcome.text.lines().any(|line| parts.iter().all(|part| line.contains(part)))
    }
}

impl RecipeTest<'_> {
    fn run(&self) {
        let Self { docker, recipe, before, check, leaks, .. } = self;
        let options = [recipe.run_options().as_slice(), self.options].concat();
        let secrets: Vec<&str> =
            options.windows(2).filter(|pair| pair[0] == "--secret").flatten().copied().collect();
        let dockerfile = format!(
            "FROM base\nCOPY --from=secrets-bridge /secrets-bridge /usr/local/bin/\n{before}{}{check}",
            recipe.steps
        );
        docker.dockerfile(&dockerfile.replace(&recipe.steps, &recipe.steps_without_exec()));
        docker.build("again", &FTP_PROXY).outcome.fails();

        docker.dockerfile(&dockerfile);
        let image = docker.tag("app");
        // COMMAND is a shell here.
        let scan = ["--scan", &image, "--engine", "docker"];
        let built = docker.build_with(&[&options, scan.as_slice()].concat(), "app", &FTP_PROXY);
        built.outcome.succeeds().says(self.output).says("no secret found: images: 1");

        for leak in *leaks {
            docker.dockerfile(&format!("{dockerfile}RUN secrets-bridge exec {}\n", leak.step));
            let build = docker.build_with(&options, "again", &FTP_PROXY).outcome;
            build.fails().reports_code(125).says("COMMAND wrote secrets to files");
            assert!(leak.is_named_in(&build), "{}: {}", leak.path, build.text);
        }

        let steps = leaks.iter().map(|leak| format!("RUN secrets-bridge exec --leaks off {}\n", leak.step));
        docker.dockerfile(&(dockerfile + &steps.collect::<String>()));
        docker.build_with(&options, "again", &FTP_PROXY).outcome.succeeds();
        let scan = docker.scan("again", &secrets);
        assert_eq!(scan.code, Some(1), "{}", scan.text);
        for leak in *leaks {
            assert!(leak.is_named_in(&scan), "{}: {}", leak.path, scan.text);
        }
    }
}

/// A bare repository with a crate in it.
fn crate_repository(scene: &Scene) -> PathBuf {
    let (work, bare) = (scene.path("work"), scene.path("private-demo.git"));
    fs::create_dir_all(work.join("src")).unwrap();
    fs::write(work.join("Cargo.toml"), "[package]\nname = \"private-demo\"\nedition = \"2021\"\n").unwrap();
    fs::write(work.join("src/lib.rs"), format!("// {CRATE_COMMENT}\n")).unwrap();
    let bare_path = bare.to_str().unwrap();
    for arguments in [
        ["init", "--quiet", "--initial-branch=main"].as_slice(),
        &["add", "."],
        &["commit", "--quiet", "--message=one"],
        &["clone", "--quiet", "--bare", ".", bare_path],
    ] {
        scene.program("git", arguments).current_dir(&work).outcome().succeeds();
    }
    bare
}

/// Copies a file, or a directory with its contents.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}
