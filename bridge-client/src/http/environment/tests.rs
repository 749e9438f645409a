//! Tests of [`set_up`](super::set_up) with environments of users.

use std::collections::BTreeMap;
use std::fs;

use super::*;

const OURS: &str = "-----BEGIN CERTIFICATE-----\nb3Vycw==\n-----END CERTIFICATE-----\n";
const THEIRS: &str = "-----BEGIN CERTIFICATE-----\ndGhlaXJz\n-----END CERTIFICATE-----\n";
const PROXY: &str = "http://sb:cafe@127.0.0.1:4321";

/// An image with CA certificates, and files of a user.
struct Image {
    root: tempfile::TempDir,
    directory: PrivateDir,
}

impl Image {
    fn new() -> Self {
        let root = tempfile::TempDir::new().unwrap();
        fs::create_dir_all(root.path().join("etc/ssl/certs")).unwrap();
        fs::write(root.path().join("etc/ssl/certs/ca-certificates.crt"), "image\n").unwrap();
        Self { root, directory: PrivateDir::create_readable().unwrap() }
    }

    fn file(&self, name: &str, contents: &str) -> String {
        let path = self.root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn set_up(&self, before: &[(&str, &str)]) -> BTreeMap<String, String> {
        let facts = ProxyFacts {
            address: "127.0.0.1:4321".parse().unwrap(),
            password: "cafe".to_owned(),
            ca_pem: OURS.to_owned(),
            ca_der: b"ours".to_vec(),
            mirrors: vec![("MIRROR".to_owned(), "http://127.0.0.1:99".to_owned())],
        };
        let ruled = RuledOrigin { origin: "npm.example:443".parse().unwrap(), plain: false };
        let lookup = |name: &str| {
            let found = before.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let before = Before { lookup: &lookup, root: self.root.path() };
        let placeholders = ["NPM_TOKEN".to_owned()];
        let variables = set_up(&facts, &[ruled], &placeholders, &before, &self.directory).unwrap();
        let count = variables.len();
        let variables: BTreeMap<String, String> =
            variables.into_iter().map(|(name, value)| (name, value.into_string().unwrap())).collect();
        assert_eq!(variables.len(), count, "a variable is set twice");
        variables
    }
}

fn contents(path: &str) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn an_empty_environment_gets_these_variables_and_no_others() {
    let image = Image::new();
    let variables = image.set_up(&[]);
    let names: Vec<&str> = variables.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "APT_CONFIG",
            "CARGO_CREDENTIAL_ALIAS_SB",
            "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS",
            "GEMRC",
            "GIT_SSL_CAINFO",
            "HTTPS_PROXY",
            "MIRROR",
            "NODE_EXTRA_CA_CERTS",
            "NODE_USE_ENV_PROXY",
            "NO_PROXY",
            "NPM_TOKEN",
            "PHP_INI_SCAN_DIR",
            "REQUESTS_CA_BUNDLE",
            "SSL_CERT_FILE",
            "WGETRC",
            "YARN_HTTPS_PROXY",
            "https_proxy",
            "no_proxy",
        ]
    );
    for name in ["https_proxy", "HTTPS_PROXY", "YARN_HTTPS_PROXY"] {
        assert_eq!(variables[name], PROXY);
    }
    for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO"] {
        assert_eq!(contents(&variables[name]), format!("image\n{OURS}"));
    }
    assert_eq!(contents(&variables["NODE_EXTRA_CA_CERTS"]), OURS);
    assert_eq!(variables["NPM_TOKEN"], "sb-placeholder-npm-token");
    assert_eq!(variables["MIRROR"], "http://127.0.0.1:99");
    assert!(variables["PHP_INI_SCAN_DIR"].starts_with(if cfg!(windows) { ';' } else { ':' }));
}

#[test]
fn what_stood_in_a_variable_before_stays_in_it_and_in_no_other() {
    let image = Image::new();
    let (corp, other) = (image.file("corp.pem", THEIRS), image.file("other.pem", THEIRS));
    let variables = image.set_up(&[
        ("CURL_CA_BUNDLE", &corp),
        ("NODE_EXTRA_CA_CERTS", &other),
        ("npm_config_cafile", &corp),
        ("PIP_CERT", ""),
        ("NO_PROXY", "corp.example,.example"),
        ("GEMRC", "/their/gemrc"),
        ("PHP_INI_SCAN_DIR", "/their/php"),
        ("APT_CONFIG", "/their/apt.conf"),
        ("PIP_PROXY", "http://corp:3128"),
        ("npm_config_noproxy", "npm.example,corp"),
        ("CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS", "cargo:libsecret"),
    ]);
    let both = format!("{THEIRS}{OURS}");
    for name in ["CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "npm_config_cafile"] {
        assert_eq!(contents(&variables[name]), both, "{name}");
    }
    for name in ["SSL_CERT_FILE", "GIT_SSL_CAINFO"] {
        assert_eq!(contents(&variables[name]), format!("image\n{OURS}"), "{name}");
    }
    assert!(!variables.contains_key("PIP_CERT"));
    for name in ["NO_PROXY", "no_proxy"] {
        assert_eq!(variables[name], "corp.example,localhost,127.0.0.1,127.0.0.0/8,::1");
    }
    assert_eq!(variables["npm_config_noproxy"], "corp,localhost,127.0.0.1,127.0.0.0/8,::1");
    assert_eq!(variables["PIP_PROXY"], PROXY);
    assert!(variables["GEMRC"].starts_with("/their/gemrc") && variables["GEMRC"].len() > 14);
    assert!(variables["PHP_INI_SCAN_DIR"].starts_with("/their/php"));
    assert!(contents(&variables["APT_CONFIG"]).starts_with("#include \"/their/apt.conf\";\n"));
    assert_eq!(variables["CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS"], "sb cargo:libsecret");
}

#[test]
fn a_bundle_that_cannot_be_read_widens_nothing() {
    let image = Image::new();
    let variables = image.set_up(&[("SSL_CERT_FILE", "/missing")]);
    assert_eq!(contents(&variables["SSL_CERT_FILE"]), OURS);
    assert_eq!(contents(&variables["GIT_SSL_CAINFO"]), format!("image\n{OURS}"));
}

#[test]
fn files_of_wget_keep_the_settings_of_the_user() {
    let image = Image::new();
    let home = image.root.path().to_str().unwrap();
    let plain = image.set_up(&[]);
    let ca = &plain["NODE_EXTRA_CA_CERTS"];
    assert_eq!(contents(&plain["WGETRC"]), format!("ca_certificate = {ca}\n"));

    let image = Image::new();
    fs::write(image.root.path().join(".wgetrc"), "tries = 3").unwrap();
    let home_of_user = image.root.path().to_str().unwrap();
    let variables = image.set_up(&[("HOME", home_of_user)]);
    let ca = &variables["NODE_EXTRA_CA_CERTS"];
    assert_eq!(contents(&variables["WGETRC"]), format!("tries = 3\nca_certificate = {ca}\n"));

    let image = Image::new();
    let corp = image.file("corp.pem", THEIRS);
    let own = format!("password = x\nCA-Certificate = {corp}\nhttpsproxy = http://corp\n");
    let file = image.file("wgetrc", &own);
    let variables = image.set_up(&[("HOME", home), ("WGETRC", &file)]);
    let written = contents(&variables["WGETRC"]);
    let rest = written.strip_prefix(&own).unwrap();
    let (bundle, rest) = rest.strip_prefix("ca_certificate = ").unwrap().split_once('\n').unwrap();
    assert_eq!(contents(bundle), format!("{THEIRS}{OURS}"));
    assert_eq!(rest, format!("https_proxy = {PROXY}\n"));
}

#[test]
fn jvms_get_their_own_roots_and_ours() {
    let image = Image::new();
    let home = image.root.path().join("jvm");
    image.file("jvm/bin/java", "");
    #[cfg(windows)]
    image.file("jvm/bin/java.exe", "");
    fs::create_dir_all(home.join("lib/security")).unwrap();
    let store = |certificates: &[&[u8]]| truststore::write(certificates, truststore::DEFAULT_PASSWORD);
    fs::write(home.join("lib/security/cacerts"), store(&[b"jvm"])).unwrap();
    let home = home.to_str().unwrap();

    let variables = image.set_up(&[("JAVA_HOME", home), ("MAVEN_OPTS", "-Xmx1g")]);
    let options = &variables["JAVA_TOOL_OPTIONS"];
    let (file, rest) = options.strip_prefix("-Djavax.net.ssl.trustStore=").unwrap().split_once(' ').unwrap();
    assert_eq!(rest, "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=4321");
    assert_eq!(truststore::read(&fs::read(file).unwrap()).unwrap(), [&b"jvm"[..], b"ours"]);
    assert!(!variables.contains_key("MAVEN_OPTS"));

    let image = Image::new();
    let named = image.root.path().join("named");
    fs::write(&named, store(&[b"named"])).unwrap();
    let before = format!(
        "-Xmx1g -Djavax.net.ssl.trustStore={} -Djavax.net.ssl.trustStoreType=PKCS12 -Dhttp.nonProxyHosts=*.example|a",
        named.display()
    );
    let maven = "-Dhttps.proxyHost=corp";
    let variables =
        image.set_up(&[("JAVA_HOME", home), ("JAVA_TOOL_OPTIONS", &before), ("MAVEN_OPTS", maven)]);
    let ours = variables["JAVA_TOOL_OPTIONS"].strip_prefix(&before).unwrap();
    let file = ours.strip_prefix(" -Djavax.net.ssl.trustStore=").unwrap().split_once(' ').unwrap().0;
    assert_eq!(truststore::read(&fs::read(file).unwrap()).unwrap(), [&b"named"[..], b"ours"]);
    assert!(ours.ends_with(" -Djavax.net.ssl.trustStoreType=JKS -Dhttp.nonProxyHosts=a"), "{ours}");
    assert!(variables["MAVEN_OPTS"].starts_with("-Dhttps.proxyHost=corp -Djavax.net.ssl.trustStore="));

    // The image's, if the JVM's cannot be read.
    let image = Image::new();
    image.file("etc/ssl/certs/ca-certificates.crt", THEIRS);
    image.file("bare/bin/java", "");
    #[cfg(windows)]
    image.file("bare/bin/java.exe", "");
    let bare = image.root.path().join("bare");
    let variables = image.set_up(&[("JAVA_HOME", bare.to_str().unwrap())]);
    let file = variables["JAVA_TOOL_OPTIONS"].split(['=', ' ']).nth(1).unwrap();
    assert_eq!(truststore::read(&fs::read(file).unwrap()).unwrap(), [&b"theirs"[..], b"ours"]);
}

#[test]
#[cfg(unix)]
fn other_users_can_read_certificates_and_not_a_users_passwords() {
    use std::os::unix::fs::PermissionsExt as _;

    let image = Image::new();
    let file = image.file("wgetrc", "password = x\n");
    let variables = image.set_up(&[("WGETRC", &file)]);
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(image.directory.path().to_str().unwrap()), 0o755);
    for name in ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"] {
        assert_eq!(mode(&variables[name]), 0o644, "{name}");
    }
    assert_eq!(mode(&variables["WGETRC"]), 0o600);
    assert_eq!(mode(&variables["APT_CONFIG"]), 0o600);
    assert_eq!(mode(variables["PHP_INI_SCAN_DIR"].trim_start_matches(':')), 0o755);
}
