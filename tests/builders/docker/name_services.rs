//! Images whose `/etc/nsswitch.conf` names modules, as those of Debian with systemd and of Red Hat do. A program with a
//! C library of its own must not load them: they are built for that of the image.

use std::fs;

use super::engine::{Docker, FTP_PROXY, every_builder};
use crate::support::require::require;
use crate::support::ssh::{SSH_SERVER, Scene};

/// Lines of nsswitch.conf(5), with the modules that Debian has packages for.
const NAME_SERVICES: [(&str, &str); 3] = [
    ("files systemd", "files resolve [!UNAVAIL=return] dns"),
    ("sss files systemd", "files myhostname mymachines mdns4_minimal [NOTFOUND=return] dns"),
    ("compat systemd sss", "resolve mdns files sss"),
];

const PACKAGES: &str =
    "libnss-sss libnss-systemd libnss-resolve libnss-myhostname libnss-mymachines libnss-mdns";

/// A step with an agent, a file and a variable; `HOME` is not set.
const STEP: &str = "env -u HOME secrets-bridge exec -e NPM_TOKEN --file NPM_TOKEN=/tmp/token --ssh --sh \
    '[ \"$(cat /tmp/token)\" = \"$NPM_TOKEN\" ] && /needs-the-token.sh && ssh-add -l'";

/// Names in `/etc/hosts`, by DNS, and by multicast DNS. Nothing answers at these ports.
const LOOK_UPS: &str = "env -u HOME secrets-bridge test --endpoint known.test:1 --endpoint unknown.invalid:1 \
    --endpoint unknown.local:1";

fn build(docker: &Docker, steps: &str) {
    let scene = Scene::new();
    let agent = format!("default={}", scene.agent.socket.display());
    docker.dockerfile(steps);
    let options = [FTP_PROXY.as_slice(), &["--add-host", "known.test:127.0.0.1"]].concat();
    let run = docker.build_with(&["--ssh", &agent], "app", &options);
    run.outcome.succeeds();
    assert_eq!(docker.search("app", [&run]), Vec::<String>::new());
}

#[test]
fn modules_of_an_image_for_users_and_hosts_are_not_loaded() {
    require!(SSH_SERVER);
    for docker in every_builder() {
        let mut steps = format!(
            "FROM base\n\
             RUN apt-get update --quiet=2 \
             && apt-get install --yes --quiet=2 --no-install-recommends {PACKAGES}\n\
             COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/\n\
             COPY needs-the-token.sh /\n"
        );
        for (users, hosts) in NAME_SERVICES {
            steps.push_str(&format!(
                "USER root\n\
                 RUN printf 'passwd: {users}\\ngroup: {users}\\nhosts: {hosts}\\n' > /etc/nsswitch.conf\n"
            ));
            // The second user is in no file: a look-up of its home directory asks every module.
            for user in ["root", "12345:12345"] {
                steps.push_str(&format!(
                    "USER {user}\n\
                     RUN env -u HOME secrets-bridge print NPM_TOKEN > /dev/null\n\
                     RUN {STEP}\n\
                     RUN {LOOK_UPS} > /tmp/report 2>&1; grep known.test:1 /tmp/report | grep refused \
                     && grep unknown.invalid:1 /tmp/report | grep 'not known' && rm /tmp/report\n"
                ));
            }
            // `~` is what /etc/passwd says.
            steps.push_str(
                "USER root\n\
                 RUN env -u HOME secrets-bridge exec --file NPM_TOKEN=~/token -- test -s /root/token\n",
            );
        }
        build(&docker, &steps);
    }
}

#[test]
fn an_image_without_etc_and_without_home_works() {
    require!(SSH_SERVER);
    for docker in every_builder() {
        fs::create_dir_all(docker.context.path("bin/tmp")).unwrap();
        // The control of the search.
        docker.context.write("bin/tmp/control", &docker.context.hash());
        let binary = "\"/secrets-bridge\"";
        build(
            &docker,
            &format!(
                "FROM scratch\n\
                 COPY --from=secrets-bridge /secrets-bridge /\n\
                 COPY --chown=12345:12345 bin/tmp /tmp\n\
                 ENV HOME=\n\
                 USER 12345:12345\n\
                 RUN [{binary}, \"test\", \"--endpoint\", \"known.test:1\", \"--endpoint\", \"unknown.invalid:1\"]\n\
                 RUN [{binary}, \"exec\", \"-e\", \"NPM_TOKEN\", \"--file\", \"NPM_TOKEN=/tmp/token\", \"--ssh\", \
                 \"--\", \"/secrets-bridge\", \"--version\"]\n"
            ),
        );
    }
}
