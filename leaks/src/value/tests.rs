use std::process::Command;

use super::*;
use crate::support::require::{GPG, OPENSSH, OPENSSL, require};

/// The parts of `secret` that are searched for.
fn parts(secret: &str) -> Vec<String> {
    let of = values(secret.as_bytes()).into_iter().filter(|value| value.part && !value.mask_only);
    of.map(|value| String::from_utf8(value.bytes.to_vec()).unwrap()).collect()
}

fn wholes(secret: &str) -> usize {
    values(secret.as_bytes()).iter().filter(|value| !value.part).count()
}

#[test]
fn the_whole_counts_without_its_line_end() {
    for text in ["hunter2!", "hunter2!\n", "hunter2!\r\n"] {
        assert_eq!(values(text.as_bytes())[0].bytes.as_slice(), b"hunter2!");
        assert_eq!(values(text.as_bytes()).len(), 1);
    }
}

#[test]
fn ordinary_values_do_not_count() {
    for text in [
        "",
        "true",
        "false",
        "null",
        "password",
        "changeme",
        "12345",
        "1234567",
        "xxxxxxxxxxxx",
        "127.0.0.1",
        "2026",
        "short",
    ] {
        assert_eq!(wholes(text), 0, "{text}");
    }
    assert_eq!(wholes("12345678"), 1);
}

#[test]
fn netrc() {
    let text = "machine github.com login octocat password s3cr3t-One\n\
                machine example.com\n  login bob\n  account payroll-77\n  password \"quoted-22x\"\n\
                # machine old password notthis1\ndefault login anonymous password user@site\n";
    assert_eq!(parts(text), ["s3cr3t-One", "payroll-77", "quoted-22x", "user@site"]);
}

#[test]
fn npmrc() {
    let text = "registry=https://registry.npmjs.org/\n@acme:registry=https://npm.acme.example/\n\
                //registry.npmjs.org/:_authToken=npm_Ab12Cd34Ef56\n//npm.acme.example/:username=deploybot\n\
                //npm.acme.example/:_password=aHVudGVyMi1odW50ZXI=\n//npm.acme.example/:email=bob@acme.example\n\
                //old.example/:_auth=Ym9iOmxlZ2FjeS1wYXNz\nalways-auth=true\nsave-exact=true\n\
                //ci.example/:_authToken=${NPM_TOKEN}\n";
    assert_eq!(
        parts(text),
        ["npm_Ab12Cd34Ef56", "aHVudGVyMi1odW50ZXI=", "hunter2-hunter", "Ym9iOmxlZ2FjeS1wYXNz", "legacy-pass"]
    );
}

#[test]
fn env_files() {
    let text = "# a comment with PASSWORD=notthis99\nexport API_KEY='single quoted 1'\nDB_PASSWORD=\"dou\\\"ble-quote\"\n\
                DB_HOST=db.internal.example\nDB_USER=postgresql-admin\nDEBUG=true\nPORT=54321\n\
                DATABASE_URL=postgres://app:p%40ssw0rd1@db.internal.example:5432/app\nAWS_REGION=eu-central-1\n\
                SECRET_KEY=plainword1 # trailing\nAWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n\
                TOKEN_FILE=/run/secrets/token\nNODE_ENV=production\nIMAGE=ghcr.io/acme/app:1.2.3-alpine\n";
    assert_eq!(
        parts(text),
        [
            "single quoted 1",
            "dou\"ble-quote",
            "dou\\\"ble-quote",
            "p%40ssw0rd1",
            "p@ssw0rd1",
            "plainword1",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
        ]
    );
}

#[test]
fn pip_conf_and_pypirc() {
    let pip = "[global]\nindex-url = https://bob:p1p-s3cret@pypi.acme.example/simple\n\
               extra-index-url = https://pypi.org/simple\ntimeout = 60000000\ntrusted-host = pypi.acme.example\n";
    assert_eq!(parts(pip), ["p1p-s3cret"]);
    let pypirc = "[distutils]\nindex-servers =\n    pypi\n    internal-servers\n\n[pypi]\nusername = __token__\n\
                  password = pypi-AgEIcHlwaS5vcmc\n[internal-servers]\nrepository: https://pypi.acme.example/legacy/\n\
                  username: deploybot\npassword: hunter2 hunter2\n";
    assert_eq!(parts(pypirc), ["pypi-AgEIcHlwaS5vcmc", "hunter2 hunter2"]);
}

#[test]
fn docker_config() {
    let text = r#"{ "auths": { "https://index.docker.io/v1/": { "auth": "Ym9iOmRja3JfcGF0X3h5eg==" },
        "ghcr.io": { "identitytoken": "0123-abcd-4567" } },
        "credsStore": "desktop-credentials", "HttpHeaders": { "User-Agent": "Docker-Client/19.03.1" } }"#;
    assert_eq!(parts(text), ["Ym9iOmRja3JfcGF0X3h5eg==", "dckr_pat_xyz", "0123-abcd-4567"]);
}

#[test]
fn json_with_a_key_inside() {
    let text = r#"{"type": "service_account", "project_id": "acme-prod-123456",
        "private_key_id": "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567",
        "private_key": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n-----END PRIVATE KEY-----\n",
        "client_email": "ci@acme-prod.iam.gserviceaccount.com", "client_id": "115219312345678901234",
        "token_uri": "https://oauth2.googleapis.com/token", "nested": {"list": ["Zx9Kq27LmN04pQrS", "ordinary words"]},
        "clientSecret": "unicode-\u0041\u00e9", "enabled": true, "count": 123456789}"#;
    assert_eq!(
        parts(text),
        [
            "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
            "Zx9Kq27LmN04pQrS",
            "unicode-Aé"
        ]
    );
}

#[test]
fn yaml() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: app-credentials\ndata:\n  password: c3dvcmRmaXNoLTQy\n\
                \x20 tls.crt: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUI=\nstringData:\n  \"apiToken\": 'it''s-secret'\n\
                passphrase: |\n  words of a sentence\n  another line here\ntokens:\n- first-token-1\n- second-token-2\n\
                host: db.internal.example\nreplicas: 3\nimage: registry.example/app@sha256:abc\n";
    assert_eq!(
        parts(text),
        [
            "c3dvcmRmaXNoLTQy",
            "swordfish-42",
            "it''s-secret",
            "it's-secret",
            "words of a sentence",
            "another line here",
            "first-token-1",
            "second-token-2"
        ]
    );
}

#[test]
fn settings_xml_and_nuget() {
    let maven = "<?xml version=\"1.0\"?>\n<settings xmlns=\"http://maven.apache.org/SETTINGS/1.0.0\">\n\
                 <!-- <password>commented-out1</password> -->\n<servers><server><id>nexus-releases</id>\
                 <username>deploybot</username><password>M4ven&amp;pass</password>\
                 <privateKey>/home/bob/.ssh/id_rsa</privateKey><passphrase><![CDATA[<phrase>7]]></passphrase>\
                 </server></servers><mirrors><url>https://nexus.example/repository</url></mirrors></settings>";
    assert_eq!(parts(maven), ["M4ven&pass", "<phrase>7"]);
    let nuget = "<configuration><packageSourceCredentials><acme><add key=\"Username\" value=\"deploybot\" />\
                 <add key=\"ClearTextPassword\" value=\"Nu63t-pass\" /></acme></packageSourceCredentials></configuration>";
    assert_eq!(parts(nuget), ["Nu63t-pass"]);
}

#[test]
fn urls() {
    assert_eq!(parts("https://bob:hunter2hunter@github.com/acme/app.git\n"), ["hunter2hunter"]);
    assert_eq!(parts("https://ghp_0123456789abcdefABCD@github.com"), ["ghp_0123456789abcdefABCD"]);
    assert_eq!(parts("https://x-access-token:ghs_16C7e42F292c69@github.com"), ["ghs_16C7e42F292c69"]);
    assert_eq!(
        parts("https://hooks.example/services/T00/XXXXXXXXXX/aB3dE5gH7jK9mN1pQ3sT"),
        ["aB3dE5gH7jK9mN1pQ3sT"]
    );
    assert_eq!(
        parts("https://acct.blob.example/c?sv=2026-01-01&sig=abc%2Fdef%3D"),
        ["abc%2Fdef%3D", "abc/def="]
    );
    assert!(parts("https://registry.npmjs.org/some/very/ordinary/path").is_empty());
}

#[test]
fn connection_strings_and_lists() {
    assert_eq!(
        parts("Server=tcp:db.example,1433;User ID=sa;Password=Sw0rdf1sh!;Encrypt=True"),
        ["Sw0rdf1sh!"]
    );
    assert_eq!(parts("a1b2c3d4e5\nregistry.example:5000\nf6g7h8i9j0\n"), ["a1b2c3d4e5", "f6g7h8i9j0"]);
    assert_eq!(parts("db.example:5432:app:bob:pgp4ssword"), ["pgp4ssword"]);
}

#[test]
fn pem_headers_and_public_blocks_do_not_count() {
    let line = "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF8PbnGy0AHB7MhgHcTz6sE2I2yPB";
    let text = format!(
        "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ\n\
         -----END CERTIFICATE-----\n-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
         DEK-Info: AES-128-CBC,7A0D1F4B9C2E3A5D6F8091A2B3C4D5E6\n\n{line}\nUBAgMEBQYH\n-----END RSA PRIVATE KEY-----\n"
    );
    assert_eq!(parts(&text), [line]);
    let short = values(text.as_bytes()).into_iter().filter(|value| value.mask_only).count();
    assert_eq!(short, 1);
}

#[test]
fn keys_of_ssh_keygen_share_no_part() {
    require!(OPENSSH);
    let dir = tempfile::tempdir().unwrap();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = |name: &str| {
            let path = dir.path().join(format!("{kind}-{name}"));
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-N", "", "-C", "bob@build", "-t", kind, "-f"]).arg(&path);
            assert!(keygen.status().unwrap().success(), "{keygen:?}");
            std::fs::read_to_string(path).unwrap()
        };
        let (one, other) = (key("a"), key("b"));
        assert!(parts(&one).len() >= 2, "{kind}");
        for part in parts(&one) {
            assert!(!other.contains(&part), "{kind}: {part}");
            assert!(one.contains(&part));
        }
        let public = std::fs::read_to_string(dir.path().join(format!("{kind}-a.pub"))).unwrap();
        assert!(parts(&one).iter().all(|part| !public.contains(part)), "{kind}");
    }
}

#[test]
fn a_key_on_one_line_of_an_env_file() {
    let line = "MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY/PuoAoGCCqGSM49";
    for text in [
        format!("KEY=\"-----BEGIN EC PRIVATE KEY-----\\n{line}\\n-----END EC PRIVATE KEY-----\\n\""),
        format!("KEY=-----BEGIN EC PRIVATE KEY-----\\n{line}\\n-----END EC PRIVATE KEY-----"),
        format!("KEY=\"-----BEGIN EC PRIVATE KEY-----\n{line}\n-----END EC PRIVATE KEY-----\"\nDEBUG=true"),
    ] {
        assert_eq!(parts(&text), [line], "{text}");
    }
}

#[test]
fn lines_of_an_unknown_format_count_one_by_one() {
    let codes =
        "Backup codes\n\n1a2b-3c4d-5e6f\n  7g8h9-i0j1k\ncorrect horse battery staple\n4821 0937 5518\n";
    let expected = ["1a2b-3c4d-5e6f", "7g8h9-i0j1k", "correct horse battery staple", "4821 0937 5518"];
    assert_eq!(parts(codes), expected);
    assert_eq!(parts(&codes.replace('\n', "\r\n")), expected);
    assert_eq!(
        parts("12345-67890\n09876-54321\nABCD-EFGH-IJKL\n"),
        ["12345-67890", "09876-54321", "ABCD-EFGH-IJKL"]
    );
    let age = "# public key: age1abc\nAGE-SECRET-KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQQPZRY9X8GF2TV\n";
    assert_eq!(parts(age).len(), 1);
    // Lines that ordinary files hold too are no parts.
    for text in [
        "machine github.com\nnot a netrc file\n",
        "#!/bin/sh\nset -euo pipefail\nexport PATH=/usr/local/bin:$PATH\nexit 0\n",
        "127.0.0.1 localhost\n::1 localhost ip6-localhost\n",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@host\n\n",
        "libssl-dev\nbuild-essential\npython3.11\n",
        "dev tun\nproto udp\nremote vpn.example 1194\ncipher AES-256-GCM\n",
    ] {
        let found = parts(text);
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn blocks_with_unknown_labels_are_secret() {
    let line = "0c7eb4a1d4f5e60718293a4b5c6d7e8f";
    let key = format!(
        "#\n# 2048 bit OpenVPN static key\n#\n-----BEGIN OpenVPN Static key V1-----\n{line}\n\
         -----END OpenVPN Static key V1-----\n"
    );
    assert_eq!(parts(&key), [line]);
    assert_eq!(parts(&key.replace('\n', "\r\n")), [line]);
    assert_eq!(parts(&format!("client\n<tls-crypt>\n{key}</tls-crypt>\nremote vpn.example 1194\n")), [line]);
    let ssh2 = "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: \"rsa-key\"\n\
                P2/56wAAAi4AAAA3aWYtbW9kbntzaWdue3JzYS1wa2NzMS1zaGExfSxlbmNyeXB0\n\
                ---- END SSH2 ENCRYPTED PRIVATE KEY ----\n";
    assert_eq!(parts(ssh2).len(), 1);
    for label in
        ["CERTIFICATE REQUEST", "PUBLIC KEY", "X509 CRL", "DH PARAMETERS", "PGP PUBLIC KEY BLOCK", "PKCS7"]
    {
        let line = "MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ";
        let text = format!("-----BEGIN {label}-----\n{line}\n-----END {label}-----\n");
        assert!(parts(&text).is_empty(), "{label}");
    }
}

#[test]
fn wireguard() {
    let text = "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n\
                Address = 10.192.122.1/24\nListenPort = 51820\n\n[Peer]\n\
                PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n\
                PresharedKey = FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=\n\
                AllowedIPs = 10.192.122.3/32\nEndpoint = vpn.example:51820\n";
    assert_eq!(
        parts(text),
        ["yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE="]
    );
}

#[test]
fn kubeconfig() {
    let key = "MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY/PuoAoGCCqGSM49";
    let pem = format!("-----BEGIN EC PRIVATE KEY-----\n{key}\n-----END EC PRIVATE KEY-----\n");
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &pem);
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n\
         \x20   certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUI=\n\
         \x20   server: https://10.0.0.1:6443\n  name: build\ncontexts:\n- context:\n    cluster: build\n\
         \x20   user: ci\n  name: ci@build\ncurrent-context: ci@build\nusers:\n- name: ci\n  user:\n\
         \x20   client-key-data: {encoded}\n    token: eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.e30.c2ln\n"
    );
    assert_eq!(parts(&text), [encoded.as_str(), key, "eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.e30.c2ln"]);
}

#[test]
fn tables_strings_and_documents_of_toml_and_hcl() {
    let toml = "[registries.acme]\nindex = \"sparse+https://cargo.acme.example/index/\"\n\
                token = \"Bearer c4rgo-t0ken\"\nnpm = { user = \"deploy\", password = \"inl1ne-word\" }\n\
                notes = \"\"\"\nplain words\n\"\"\"\nsecret = '''\nfirst-l1ne of it\n'''\n";
    assert_eq!(parts(toml), ["c4rgo-t0ken", "inl1ne-word", "first-l1ne of it"]);
    let hcl = "db_password = \"hcl-pass-1\"\nkeys = {\n  \"api_token\" = \"hcl-pass-2\"\n}\n\
               secret = <<-EOT\n  hcl-pass-3 x\n  EOT\nregion = \"eu-central-1\"\n";
    assert_eq!(parts(hcl), ["hcl-pass-1", "hcl-pass-2", "hcl-pass-3 x"]);
    assert_eq!(parts("auth: {user: me, password: fl0w-word}\n"), ["fl0w-word"]);
}

#[test]
fn properties_of_java() {
    let text = "db.password=pr0p\\=er\\:ty\ndb.url=jdbc:postgresql://db.example/app\napi.token : tok-en-99\n\
                long.secret=first-half-\\\n    and-second\nother.password sp4ce-word\n\
                spring.password:col0n-word\n";
    let found = parts(text);
    for expected in
        ["pr0p\\=er\\:ty", "pr0p=er:ty", "tok-en-99", "first-half-and-second", "sp4ce-word", "col0n-word"]
    {
        assert!(found.iter().any(|part| part == expected), "{expected} in {found:?}");
    }
    assert_eq!(parts("url = \"https://h.example\"\nuser = \"me:curl-pass-1\"\n"), ["curl-pass-1"]);
}

#[test]
fn byte_order_marks_do_not_count() {
    for text in ["hunter2-Zq!", "TOKEN=hunter2-Zq!\nUSER=me\n", "{\"token\": \"hunter2-Zq!\"}"] {
        let of = |bytes: &[u8]| values(bytes).iter().map(|value| value.bytes.to_vec()).collect::<Vec<_>>();
        let plain = of(text.as_bytes());
        assert_eq!(of(format!("\u{feff}{text}").as_bytes()), plain);
        let units: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let found = of(&units);
        assert!(plain.iter().all(|value| found.contains(value)), "{text}");
    }
}

#[test]
fn an_openpgp_key_shares_no_part_with_its_public_key() {
    require!(GPG);
    let home = tempfile::tempdir().unwrap();
    let gpg = |args: &[&str]| {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--passphrase", "", "--homedir"]).arg(home.path()).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for (kind, user) in [("ed25519", "one@example.org"), ("rsa2048", "two@example.org")] {
        gpg(&["--quick-generate-key", user, kind, "cert,sign", "never"]);
        let secret = gpg(&["--armor", "--export-secret-keys", user]);
        let public = gpg(&["--armor", "--export", user]);
        let found = parts(&secret);
        assert!(!found.is_empty() && found.iter().all(|part| secret.contains(part)), "{kind}");
        assert!(found.iter().all(|part| !public.contains(part)), "{kind}");
    }
    // The agent of this home would stay.
    let _ = Command::new("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "all"]).status();
}

#[test]
fn an_elliptic_key_shares_no_part_with_its_public_key() {
    require!(OPENSSL);
    let dir = tempfile::tempdir().unwrap();
    let openssl = |args: &[&str]| {
        let made = Command::new("openssl").args(args).current_dir(dir.path()).output().unwrap();
        assert!(made.status.success(), "{args:?}: {}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap()
    };
    for curve in ["prime256v1", "secp384r1", "secp521r1"] {
        let option = format!("ec_paramgen_curve:{curve}");
        let sec1 = ["ecparam", "-genkey", "-noout", "-name", curve, "-out", "key.pem"];
        let pkcs8 = ["genpkey", "-algorithm", "EC", "-pkeyopt", &option, "-out", "key.pem"];
        for args in [sec1, pkcs8] {
            openssl(&args);
            let key = std::fs::read_to_string(dir.path().join("key.pem")).unwrap();
            let public = openssl(&["pkey", "-in", "key.pem", "-pubout"]);
            let found = parts(&key);
            assert!(!found.is_empty() && found.iter().all(|part| key.contains(part)), "{curve}");
            assert!(found.iter().all(|part| !public.contains(part)), "{curve}");
        }
    }
}

#[test]
fn words_are_masked_and_not_searched_for() {
    let text =
        "password: swordfish\nauth_method: kubernetes\nsort_key: created_at_desc\nhmac_key: a1b2c3d4e5f6\n";
    assert_eq!(parts(text), ["a1b2c3d4e5f6"]);
    assert!(
        values(text.as_bytes()).iter().any(|value| value.mask_only && value.bytes.as_slice() == b"swordfish")
    );
}

#[test]
fn an_rsa_key_shares_no_part_with_its_certificate() {
    require!(OPENSSL);
    let dir = tempfile::tempdir().unwrap();
    for traditional in [&["-traditional"][..], &[]] {
        let key = dir.path().join("key.pem");
        let openssl = |args: &[&str]| {
            let made = Command::new("openssl").args(args).current_dir(dir.path()).output().unwrap();
            assert!(made.status.success(), "{args:?}: {}", String::from_utf8_lossy(&made.stderr));
        };
        let genrsa = [&["genrsa", "-out", "key.pem"], traditional, &["2048"]].concat();
        openssl(&genrsa);
        openssl(&["rsa", "-in", "key.pem", "-pubout", "-out", "pub.pem"]);
        let key = std::fs::read_to_string(key).unwrap();
        let public = std::fs::read_to_string(dir.path().join("pub.pem")).unwrap();
        let found = parts(&key);
        // Some five lines of the twenty-six are the modulus.
        assert!((17..=23).contains(&found.len()), "{}", found.len());
        assert!(found.iter().all(|part| key.contains(part) && !public.contains(part)));
    }
}

#[test]
fn hostile_text_ends_soon() {
    for piece in [
        "\"",
        "\\",
        "{\"a\":\"",
        "<a b=\"",
        "<!--",
        "://:@",
        "password ",
        "a: |\n",
        "=;",
        "-----BEGIN -----\n",
    ] {
        let _ = values(piece.repeat(20_000).as_bytes());
    }
    let many: String = (0..5000).map(|n| format!("token{n}=value-{n:08}\n")).collect();
    assert!(values(many.as_bytes()).len() <= MAX_PARTS + 1);
}
