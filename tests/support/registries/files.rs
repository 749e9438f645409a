//! A file server that requires a client certificate: nginx, with a throwaway CA.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};

use super::{Server, free_port};
use crate::support::Home;
use crate::support::https::authority::pem;
use crate::support::require::find;

/// The contents of `/model.bin`.
pub const CONTENTS: &str = "read with a client certificate";

pub struct FileServer {
    server: Server,
    // All in PEM.
    pub ca: String,
    pub client_certificate: String,
    pub client_key: String,
    _home: Home,
}

impl FileServer {
    pub fn start(address: IpAddr) -> Self {
        let program = find("nginx").unwrap();
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "throwaway CA");
        let ca_certificate = pem("CERTIFICATE", ca.self_signed(&ca_key).unwrap().der());
        let issuer = Issuer::new(ca, ca_key);
        let leaf = |name: &str, usage, addresses: Vec<SanType>| {
            let key = KeyPair::generate().unwrap();
            let mut leaf = CertificateParams::default();
            leaf.distinguished_name.push(DnType::CommonName, name);
            leaf.extended_key_usages = vec![usage];
            leaf.subject_alt_names = addresses;
            let certificate = leaf.signed_by(&key, &issuer).unwrap();
            (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der()))
        };
        let server = leaf("server", ExtendedKeyUsagePurpose::ServerAuth, vec![SanType::IpAddress(address)]);
        let client = leaf("builder", ExtendedKeyUsagePurpose::ClientAuth, Vec::new());

        let home = Home::new();
        home.file("ca.pem", &ca_certificate);
        home.file("server.pem", server.0);
        home.file("server.key", server.1);
        fs::create_dir(home.path("files")).unwrap();
        home.file("files/model.bin", format!("{CONTENTS}\n"));
        let address = free_port(address);
        let configuration = home.file("nginx.conf", configuration(&home, address));
        let mut nginx = home.program(program, ["-p", ".", "-e", "stderr", "-c"]);
        nginx.arg(configuration);
        Self {
            server: Server::start(address, nginx),
            ca: ca_certificate,
            client_certificate: client.0,
            client_key: client.1,
            _home: home,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }
}

fn configuration(home: &Home, address: SocketAddr) -> String {
    let dir = home.path("");
    let dir = dir.display();
    // nginx of root would run as another user, who cannot read the test's private directory.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    // One process: if a master process is killed, its workers continue.
    format!(
        "{user} daemon off; master_process off; pid {dir}/pid; error_log stderr;
        events {{ }}
        http {{
            access_log off;
            client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
            uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
            server {{
                listen {address} ssl;
                ssl_certificate {dir}/server.pem; ssl_certificate_key {dir}/server.key;
                ssl_client_certificate {dir}/ca.pem; ssl_verify_client on;
                root {dir}/files;
            }}
        }}"
    )
}
