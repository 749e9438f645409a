//! The servers of these tests demand what the tests say that they demand: a test whose server serves everyone proves
//! nothing.

use std::net::Ipv4Addr;

use crate::support::https::authority::Authority;
use crate::support::https::corporate_proxy::CorporateProxy;
use crate::support::https::front::{Content, Front, Login, Site};
use crate::support::https::names::resolving;
use crate::support::https::scripted::{Scripted, Then};
use crate::support::registries::packages::{OpenRegistry, Package, npm_project};
use crate::support::registries::{Installed, REGISTRIES};
use crate::support::require::{CURL, HTTPS_SERVER, MOUNT_NAMESPACE, NGINX, require};
use crate::support::{Home, Start as _};

/// curl as a program that resolves `name`, and trusts the CA.
fn curl(home: &Home, authority: &Authority, name: &str, arguments: &[&str]) -> String {
    let mut curl = home.program("curl", ["--silent", "--show-error", "--cacert"]);
    curl.arg(authority.file()).args(arguments);
    resolving(home, &[(name, Ipv4Addr::LOCALHOST.into())], &curl).outcome().succeeds().text()
}

const STATUS: [&str; 4] = ["--output", "/dev/null", "--write-out", "%{http_code}"];

#[test]
fn a_front_serves_only_with_its_token() {
    require!(CURL, NGINX, MOUNT_NAMESPACE);
    let (home, authority) = (Home::new(), Authority::new());
    let token = "t_+/?ken~=";
    let sites = [Site {
        name: "files.example",
        locations: vec![
            ("/bearer/", Login::Bearer(token.to_owned()), Content::Files),
            ("/basic/", Login::Basic("builder".to_owned(), token.to_owned()), Content::Files),
            ("/header/", Login::Header("X-Api-Key".to_owned(), token.to_owned()), Content::Files),
        ],
    }];
    let front = Front::start(&authority, &sites);
    for (kind, given) in [
        ("bearer", ["--header".to_owned(), format!("Authorization: Bearer {token}")]),
        ("basic", ["--user".to_owned(), format!("builder:{token}")]),
        ("header", ["--header".to_owned(), format!("X-Api-Key: {token}")]),
    ] {
        std::fs::create_dir(front.root().join(kind)).unwrap();
        std::fs::write(front.root().join(kind).join("file"), kind).unwrap();
        let url = format!("https://files.example:{}/{kind}/file", front.port());
        let status = curl(&home, &authority, "files.example", &[STATUS.as_slice(), &[&url]].concat());
        assert_eq!(status, "401");
        let given = given.each_ref().map(String::as_str);
        assert_eq!(curl(&home, &authority, "files.example", &[given.as_slice(), &[&url]].concat()), kind);
        let wrong = given.map(|word| word.replace(token, "other"));
        let wrong = wrong.each_ref().map(String::as_str);
        let status = curl(&home, &authority, "files.example", &[STATUS.as_slice(), &wrong, &[&url]].concat());
        assert_eq!(status, "401");
    }
    let answered = front.requests();
    assert_eq!(answered.iter().map(|request| request.status).filter(|status| *status == 200).count(), 3);
}

#[test]
fn a_registry_behind_a_front_names_the_front_in_its_links() {
    require!(CURL, NGINX, MOUNT_NAMESPACE, REGISTRIES);
    let (home, authority, installed) = (Home::new(), Authority::new(), Installed::find());
    let packages =
        [Package { name: "@org/first", needs: &["second"] }, Package { name: "second", needs: &[] }];
    let registry = OpenRegistry::npm(&installed, &packages);
    let login = Login::Bearer("token".to_owned());
    let front =
        Front::start(&authority, &[Site::new("npm.example", login, Content::Registry(registry.address()))]);
    let base = format!("https://npm.example:{}/", front.port());
    let given = ["--header", "Authorization: Bearer token"];
    let get = |path: &str| {
        let url = format!("{base}{path}");
        curl(&home, &authority, "npm.example", &[given.as_slice(), &[&url]].concat())
    };
    let tarball = format!("{base}@org/first/-/first-1.0.0.tgz");
    assert!(get("@org%2ffirst").contains(&tarball), "{}", get("@org%2ffirst"));
    let (_, lock) = npm_project(&packages, &base);
    assert!(lock.contains(&tarball));
    let status = curl(&home, &authority, "npm.example", &[given.as_slice(), &STATUS, &[&tarball]].concat());
    assert_eq!(status, "200");
}

#[test]
fn a_front_takes_pushes() {
    require!(HTTPS_SERVER, MOUNT_NAMESPACE);
    let (home, authority) = (Home::new(), Authority::new());
    let login = Login::Basic("builder".to_owned(), "token".to_owned());
    let front = Front::start(&authority, &[Site::new("git.example", login, Content::Git)]);
    let commit = front.repository("org/repo.git", &[("file", "contents\n")]);
    let url = format!("https://builder:token@git.example:{}/org/repo.git", front.port());
    let script = "git clone -q \"$1\" work && cd work && git rev-parse HEAD && \
                  git -c user.name=n -c user.email=e commit -q --allow-empty -m two && git push -q origin main";
    let mut sh = home.program("sh", ["-ec", script, "sh", &url]);
    sh.env("GIT_SSL_CAINFO", authority.file()).env("GIT_CONFIG_NOSYSTEM", "1");
    let names = [("git.example", Ipv4Addr::LOCALHOST.into())];
    let pushed = resolving(&home, &names, &sh).outcome().succeeds();
    assert_eq!(pushed.text().trim(), commit);
    assert!(front.requests().iter().any(|request| request.line.contains("/git-receive-pack")));
}

#[test]
fn a_scripted_server_answers_through_a_corporate_proxy() {
    require!(CURL);
    let (home, authority) = (Home::new(), Authority::new());
    let server = Scripted::start(&authority, &["odd.example"], |asked, connection| {
        let body = connection.body(asked)?;
        connection.answer("200 OK", "X-Seen: yes\r\n", [asked.target().as_bytes(), b" ", &body].concat())?;
        Ok(if asked.target() == "/cut" { Then::Cut } else { Then::Keep })
    });
    let proxy = CorporateProxy::start(&[("odd.example", Ipv4Addr::LOCALHOST.into())], Some("user:pass"));
    let url = format!("https://odd.example:{}", server.port());
    let curl = |arguments: &[&str]| {
        let mut curl = home.program("curl", ["--silent", "--show-error", "--cacert"]);
        curl.arg(authority.file()).args(["--proxy", &proxy.url()]).args(arguments);
        curl.outcome()
    };
    let first = format!("{url}/one");
    let chunked = ["--header", "Transfer-Encoding: chunked", "--data", "a body", &first];
    assert_eq!(curl(&chunked).succeeds().text(), "/one a body");
    let two = [format!("{url}/two"), format!("{url}/three")];
    assert_eq!(curl(&[&two[0], &two[1]]).succeeds().text(), "/two /three ");
    assert_eq!(server.connections(), 2);
    assert_eq!(server.requests().iter().filter(|asked| asked.method() == "GET").count(), 2);
    assert_eq!(proxy.asked().len(), 2);
}
