//! Steps that give up root in real builds: the named user gets files and the agent, and a third user does not.

use super::engine::{FTP_PROXY, every_builder};
use crate::support::require::require;
use crate::support::ssh::{SSH_SERVER, Scene};

const DOCKERFILE: &str = "\
FROM base
COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/
COPY needs-the-token.sh /
RUN useradd --create-home app && useradd third && echo their own > /home/app/.npmrc && chown app /home/app/.npmrc
RUN secrets-bridge exec --ssh uid=app --file NPM_TOKEN=/home/app/new/token,uid=app,gid=app,mode=0400 \\
    --file NPM_TOKEN=/home/app/.npmrc,uid=app,replace --sh 'set -e; \\
    for way in \"su app -c\" \"runuser -u app -- sh -c\" \"setpriv --reuid=app --regid=app --clear-groups sh -c\" \\
        \"gosu app sh -c\" \"sudo -E -u app sh -c\"; do \\
        $way \"NPM_TOKEN=\\$(cat /home/app/new/token) /needs-the-token.sh\"; \\
        $way \"cmp /home/app/.npmrc /home/app/new/token && ssh-add -l\" && echo \"done: $way\"; \\
    done; \\
    stat -Lc \"%a %U %G\" /home/app/new/token; stat -c \"%a %U\" /home/app/new; \\
    for file in /home/app/new/token /home/app/.npmrc; do ! gosu third cat $file; done; ! gosu third ssh-add -l'; \\
    [ ! -e /home/app/new ] && stat -c \"%a %U %s\" /home/app/.npmrc
USER app
RUN secrets-bridge exec --file NPM_TOKEN=~/.token,uid=app --sh 'NPM_TOKEN=$(cat ~/.token) /needs-the-token.sh' && \\
    ! secrets-bridge exec --file NPM_TOKEN=~/.token,uid=third -- true
";

#[test]
fn a_step_that_gives_up_root_gets_files_and_the_agent() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let agent = format!("default={}", scene.agent.socket.display());
    for docker in every_builder() {
        docker.dockerfile(DOCKERFILE);
        let run = docker.build_with(&["--ssh", &agent], "app", &FTP_PROXY);
        run.outcome.succeeds();
        for way in ["su app", "runuser", "setpriv", "gosu app", "sudo -E"] {
            run.outcome.says(&format!("done: {way}"));
        }
        run.outcome.says("400 app app").says("755 app").says("644 app 10").says("deploy key");
        run.outcome
            .says("Permission denied")
            .says("cannot give it to user 1001: this process runs as user 1000");
        assert_eq!(docker.search("app", [&run]), Vec::<String>::new());
    }
}
