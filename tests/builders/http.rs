//! HTTP credentials in builds: what is served, the rules for it, and the Dockerfiles. The builders run them.

pub(crate) mod search;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use crate::context::{BridgeRun, Context, binary};
use crate::support::Start as _;
use crate::support::https::authority::Authority;
use crate::support::https::front::{Content, Front, Login, Site};
use crate::support::https::names::prefix;
use crate::support::registries::Installed;
use crate::support::registries::packages::{OpenRegistry, Package, npm_project};

pub(crate) const PACKAGES: [Package<'static>; 3] = [
    Package { name: "@org/first", needs: &["second"] },
    Package { name: "second", needs: &["third"] },
    Package { name: "third", needs: &[] },
];

pub(crate) const WHEELS: [Package<'static>; 2] =
    [Package { name: "first-wheel", needs: &["second-wheel"] }, Package { name: "second-wheel", needs: &[] }];

/// Private servers of this machine, under names that only the bridge resolves and with a CA that only the bridge trusts.
pub(crate) struct Served {
    pub(crate) authority: Authority,
    pub(crate) front: Front,
    /// `:PORT`, or nothing if that is 443.
    pub(crate) port: String,
    _registries: [OpenRegistry; 2],
    /// The commit of the repository.
    commit: String,
}

impl Served {
    /// `npm.example`, `pypi.example` and `git.example`, which demand `token`.
    pub(crate) fn start(token: &str) -> Self {
        let installed = Installed::find();
        let registries = [OpenRegistry::npm(&installed, &PACKAGES), OpenRegistry::pypi(&installed, &WHEELS)];
        let authority = Authority::new();
        let bearer = || Login::Bearer(token.to_owned());
        let basic = Login::Basic("builder".to_owned(), token.to_owned());
        let sites = [
            Site::new("npm.example", bearer(), Content::Registry(registries[0].address())),
            Site::new("pypi.example", basic, Content::Registry(registries[1].address())),
            // A rule for git logs in as git hosts expect it: with any user and the token.
            Site::new(
                "git.example",
                Login::Basic("x-access-token".to_owned(), token.to_owned()),
                Content::Git,
            ),
        ];
        let address = address();
        let front = Front::start_at(address.ip(), Some(address.port()), &authority, &sites);
        let commit = front.repository("org/repo.git", &[("file", "from the private repository\n")]);
        Self { authority, front, port: suffix(address), _registries: registries, commit }
    }

    /// `secrets-bridge run RULES OPTIONS -- BUILD`, with the token in variables.
    pub(crate) fn run(&self, context: &Context, options: &[&str], build: &Command) -> BridgeRun {
        let port = &self.port;
        let rules = [
            format!("npm.example{port}=NPM_TOKEN"),
            format!("builder@pypi.example{port}=PYPI_TOKEN,auth=basic"),
            format!("git.example{port}/org=GH,git"),
        ];
        run(context, &self.authority, &rules, options, self.front.address.ip(), build)
    }

    /// The commit of the repository's branch.
    pub(crate) fn head(&self) -> String {
        let mut git = Command::new("git");
        git.arg("--git-dir").arg(self.front.root().join("org/repo.git")).args(["rev-parse", "main"]);
        git.outcome().succeeds().text().trim().to_owned()
    }

    /// That no push has arrived.
    #[track_caller]
    pub(crate) fn assert_unchanged(&self) {
        assert_eq!(self.head(), self.commit);
        let pushes =
            self.front.answered().into_iter().filter(|request| request.line.contains("receive-pack"));
        assert_eq!(pushes.map(|request| request.line).collect::<Vec<_>>(), Vec::<String>::new());
    }

    /// A project for npm, and npm itself, in the context.
    pub(crate) fn npm_files(&self, context: &Context) {
        copy_npm(context, &format!("https://npm.example{}/", self.port));
    }
}

/// `secrets-bridge run --http-credential RULE… OPTIONS -- BUILD`. The servers of the rules are at `address`.
pub(crate) fn run(
    context: &Context,
    authority: &Authority,
    rules: &[String],
    options: &[&str],
    address: IpAddr,
    build: &Command,
) -> BridgeRun {
    let names: Vec<&str> = rules.iter().map(|rule| host(rule)).collect();
    let names: Vec<(&str, IpAddr)> = names.into_iter().map(|name| (name, address)).collect();
    let words = prefix(&context.path("hosts"), &names);
    let mut run = context.command(&words[0]);
    run.args(&words[1..]).arg(binary()).arg("run");
    for variable in ["NPM_TOKEN", "PYPI_TOKEN", "GH"] {
        run.env(variable, &context.token);
    }
    for rule in rules {
        run.args(["--http-credential", &format!("{rule},ca={}", authority.file().display())]);
    }
    run.args(options);
    context.run_as(run, build)
}

/// The host of a rule.
fn host(rule: &str) -> &str {
    let place = rule.split(['=', '/']).next().unwrap();
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    place.split(':').next().unwrap()
}

/// An address of loopback of its own, and port 443 of it if this user may listen there.
pub(crate) fn address() -> SocketAddr {
    let mut random = [0; 2];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    let ip = IpAddr::from(Ipv4Addr::new(127, 43, random[0], random[1].clamp(1, 254)));
    let listener = TcpListener::bind((ip, 443)).or_else(|_| TcpListener::bind((ip, 0))).unwrap();
    listener.local_addr().unwrap()
}

/// The port in URLs and rules.
pub(crate) fn suffix(address: SocketAddr) -> String {
    if address.port() == 443 { String::new() } else { format!(":{}", address.port()) }
}

/// npm, and a project that depends on [`PACKAGES`] of this registry, in the directory `bin` of the context.
pub(crate) fn copy_npm(context: &Context, registry: &str) {
    let node = Installed::find().node();
    copy(&node.join("bin/node"), &context.path("bin/node/bin/node"));
    copy(&node.join("lib/node_modules/npm"), &context.path("bin/node/lib/npm"));
    let (manifest, lock) = npm_project(&PACKAGES, registry);
    fs::create_dir_all(context.path("bin/project")).unwrap();
    context.write("bin/project/package.json", &manifest);
    context.write("bin/project/package-lock.json", &lock);
    context.write("bin/project/.npmrc", &format!("registry={registry}\n"));
}

/// Steps that install npm from the context, and the project.
pub(crate) const NPM: &str = "\
COPY bin/node /opt/node
RUN ln -s /opt/node/bin/node /usr/local/bin/ && ln -s /opt/node/lib/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /app
COPY bin/project .
";

/// Steps of npm, pip and git, with and without a lock file, and a push. `PORT` is that of the servers.
pub(crate) fn dockerfile(port: &str) -> String {
    format!(
        "\
FROM base
COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/
COPY needs-the-token.sh /
{NPM}RUN secrets-bridge exec --http -- npm ci
RUN node -p '\"locked: \" + require(\"@org/first\")'
RUN rm -r node_modules package-lock.json ~/.npm && secrets-bridge exec --http -- npm install
RUN node -p '\"unlocked: \" + require(\"@org/first\")'
RUN secrets-bridge exec --http -- pip install --break-system-packages \
 --index-url https://pypi.example{port}/simple/ first-wheel
RUN python3 -c 'import first_wheel, second_wheel; print(\"imported: \" + second_wheel.NAME)'
RUN secrets-bridge exec --http -- git clone https://git.example{port}/org/repo.git /src && cat /src/file
RUN cd /src && git -c user.name=n -c user.email=e commit --quiet --allow-empty --message=two && \
 if secrets-bridge exec --http -- git push origin main; then echo pushed; else echo \"the push failed\"; fi
"
    )
}

/// What the build of [`dockerfile`] says.
#[track_caller]
pub(crate) fn assert_built(run: &BridgeRun, served: &Served) {
    let outcome = &run.outcome;
    outcome.succeeds().says("locked: @org/first").says("unlocked: @org/first");
    outcome.says("imported: second-wheel").says("from the private repository");
    // The token may push; the rule does not permit it, and says what would.
    outcome.says("the push failed").says("git+push").never_says("pushed\n");
    served.assert_unchanged();
}

/// Copies a file, or a directory with its contents.
pub(crate) fn copy(from: &Path, to: &Path) {
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
