//! How a build finds its bridge: endpoints race, proxies are honoured, and an error names every endpoint with its own
//! cause.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use proto::BridgeConf;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use crate::peer::{AUDIT, conf, listen, of_kind, records, text, with_endpoints};
use crate::support::{Bridge, Home, LIMIT, Start as _};

fn bridge() -> Bridge {
    Bridge::serve(["--secret", "TOKEN=hunter2", "--audit", AUDIT])
}

/// A port of loopback that accepts connections and sends nothing. To a client this looks like a firewall that drops
/// packets, except for the accept.
fn black_hole() -> u16 {
    let (listener, port) = listen();
    thread::spawn(move || {
        let mut held = Vec::new();
        held.extend(listener.incoming());
    });
    port
}

/// A port of loopback without a listener. It stays bound while the tests run, so no other process can listen on it.
fn closed_port() -> u16 {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let bound = std::net::TcpListener::from(socket);
    let port = bound.local_addr().unwrap().port();
    std::mem::forget(bound);
    port
}

#[test]
fn a_silent_endpoint_does_not_delay_the_one_that_answers() {
    let bridge = bridge();
    let holes: Vec<String> = (0..8).map(|_| format!("127.0.0.1:{}", black_hole())).collect();
    let mut endpoints: Vec<&str> = holes.iter().map(String::as_str).collect();
    endpoints.push("127.0.0.1");
    let here = with_endpoints(&conf(&bridge.conf), bridge.port(), &endpoints);
    let began = Instant::now();
    bridge.home.command(["print", "TOKEN"]).env("BRIDGE_CONF", here).outcome().succeeds().prints("hunter2");
    // A single silent endpoint takes 4 s to time out.
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[test]
fn the_error_lists_every_endpoint_with_its_cause_and_a_hint() {
    let (bridge, other) = (bridge(), bridge());
    let (refused, silent) = (closed_port(), black_hole());
    let http = {
        let (listener, port) = listen();
        thread::spawn(move || {
            for mut tcp in listener.incoming().flatten() {
                let mut lines = BufReader::new(tcp.try_clone().unwrap());
                let _ = lines.fill_buf();
                let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                // Held open, so that no reset overtakes the answer.
                thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
            }
        });
        port
    };
    let at = |port: u16| format!("127.0.0.1:{port}");
    let endpoints = [at(refused), at(silent), at(http), at(other.port()), "nowhere.invalid:9100".to_owned()];
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let here = with_endpoints(&conf(&bridge.conf), closed_port(), &endpoints);
    let outcome = bridge.home.command(["print", "TOKEN"]).env("BRIDGE_CONF", here).outcome().fails();

    let lines: Vec<&str> = outcome.stderr.lines().skip_while(|line| !line.contains("no endpoint")).collect();
    assert!(lines[0].starts_with("secrets-bridge: no endpoint of the bridge answered ("), "{}", lines[0]);
    assert_eq!(
        lines[1..6],
        [
            format!("  127.0.0.1:{refused}  refused"),
            format!(
                "  127.0.0.1:{silent}  accepted the connection, then timed out (overloaded, or not a bridge)"
            ),
            format!("  127.0.0.1:{http}  answered, but not as a bridge does (another service, or a proxy)"),
            format!(
                "  127.0.0.1:{}  the bridge does not know this conf (another run, or another version of secrets-bridge)",
                other.port()
            ),
            "  nowhere.invalid:9100  the name is not known here".to_owned(),
        ]
    );
    assert!(lines.iter().any(|line| line.ends_with("refused (loopback)")), "{lines:?}");
    assert!(lines.last().unwrap().starts_with("hint: "), "{lines:?}");
    // The other bridge was dialled and saw no upgrade request.
    assert!(of_kind(&records(&other), "session-begun").is_empty());
}

#[test]
fn an_endpoint_that_the_user_names_comes_first_on_either_side() {
    let bridge = Bridge::serve([
        "--secret",
        "TOKEN=hunter2",
        "--endpoint",
        "host.invalid:9100",
        "--endpoint",
        "[::1]:9",
    ]);
    let advertised: Vec<String> =
        conf(&bridge.conf).endpoints.iter().map(|endpoint| endpoint.with_port(bridge.port())).collect();
    assert_eq!(advertised, ["host.invalid:9100", "[::1]:9", &format!("127.0.0.1:{}", bridge.port())]);

    // In the error, what the client's side names comes before what the conf does.
    let dead = with_endpoints(&conf(&bridge.conf), closed_port(), &["host.invalid:9100"]);
    let named = format!("127.0.0.1:{}", closed_port());
    let outcome =
        bridge.home.command(["print", "TOKEN", "--endpoint", &named, "-c", &dead]).outcome().fails();
    let tried: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(tried[0], format!("  {named}  refused"));
    assert!(tried[1].starts_with("  host.invalid:9100  "), "{tried:?}");

    // The named endpoint also reaches the bridge when the conf's endpoints do not.
    let named = bridge.address().to_string();
    bridge
        .home
        .command(["print", "TOKEN", "--endpoint", &named, "-c", &dead])
        .outcome()
        .succeeds()
        .prints("hunter2");
}

#[test]
fn a_client_clock_two_hours_fast_does_no_harm() {
    let bridge = bridge();
    let two_hours_ago = std::time::SystemTime::now() - Duration::from_secs(7200);
    let expiry = two_hours_ago.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let late = text(&BridgeConf { expiry: Some(expiry), ..conf(&bridge.conf) });
    let print = || bridge.home.command(["print", "TOKEN"]).env("BRIDGE_CONF", &late).outcome();
    print().succeeds().prints("hunter2").never_says("expired");
    bridge.sigkill();
    print().fails().says("hint: the conf expired 2 h ago by this machine's clock");
}

#[test]
fn test_lists_the_endpoints_and_is_not_a_session() {
    let bridge = Bridge::serve(["--secret", "TOKEN=hunter2", "--once", "--audit", AUDIT, "--listen", ":0"]);
    let (port, closed) = (bridge.port(), format!("127.0.0.1:{}", closed_port()));
    let here = with_endpoints(&conf(&bridge.conf), port, &["127.0.0.1", "127.0.0.2", &closed]);
    let report = bridge.home.command(["test"]).env("BRIDGE_CONF", &here).outcome().succeeds().text();
    for address in ["127.0.0.1", "127.0.0.2"] {
        assert!(report.contains(&format!("{address}:{port}  answered in ")), "{report}");
    }
    assert!(report.contains(&format!("{closed}  refused")), "{report}");
    assert!(report.contains("keys: TOKEN\n"), "{report}");
    bridge.home.command(["print", "TOKEN"]).env("BRIDGE_CONF", &here).outcome().succeeds();
    let records = records(&bridge);
    assert_eq!((of_kind(&records, "tested").len(), of_kind(&records, "session-begun").len()), (1, 1));
    // The connections that lose the race are closed without a request, which is not a refusal.
    assert!(of_kind(&records, "session-refused").is_empty());
}

// ---- proxies ----

/// A proxy that answers every CONNECT with `answer`, and relays to `to` if that is a 200. The header of each request
/// is sent to the test, line by line.
fn proxy(answer: &'static str, to: SocketAddr) -> (u16, mpsc::Receiver<Vec<String>>) {
    let (listener, port) = listen();
    let (sender, requests) = mpsc::channel();
    thread::spawn(move || {
        for build in listener.incoming().flatten() {
            let mut lines = BufReader::new(build.try_clone().unwrap()).lines();
            let request = lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let _ = sender.send(request);
            // A client waits for the answer before it sends more, so nothing is lost with the reader.
            let mut build = build;
            build.write_all(answer.as_bytes()).unwrap();
            if answer.contains(" 200 ") {
                relay(build, TcpStream::connect(to).unwrap());
            }
        }
    });
    (port, requests)
}

fn relay(build: TcpStream, bridge: TcpStream) {
    let pairs = [
        (build.try_clone().unwrap(), bridge.try_clone().unwrap()),
        (bridge.try_clone().unwrap(), build.try_clone().unwrap()),
    ];
    for (mut from, mut to) in pairs {
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

/// A conf that reaches the bridge only through a proxy: its host name does not resolve, and its port is closed here.
fn conf_behind_proxy(bridge: &Bridge) -> String {
    with_endpoints(&conf(&bridge.conf), closed_port(), &["bridge.invalid:9100"])
}

#[test]
fn an_endpoint_that_is_not_local_is_reached_through_the_proxy() {
    let bridge = bridge();
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let (port, requests) =
            proxy("HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n", bridge.address());
        bridge
            .home
            .command(["print", "TOKEN"])
            .env("BRIDGE_CONF", conf_behind_proxy(&bridge))
            .env(variable, format!("http://127.0.0.1:{port}"))
            .outcome()
            .succeeds()
            .prints("hunter2");
        assert_eq!(
            requests.recv_timeout(LIMIT).unwrap(),
            ["CONNECT bridge.invalid:9100 HTTP/1.1", "Host: bridge.invalid:9100"]
        );
    }
}

#[test]
fn no_proxy_exempts_subdomains_and_local_is_always_exempt() {
    let bridge = bridge();
    let exempted = &|exempt: &str| {
        let (port, requests) = proxy("HTTP/1.1 200 Connection established\r\n\r\n", bridge.address());
        bridge
            .home
            .command(["print", "TOKEN"])
            .env("BRIDGE_CONF", conf_behind_proxy(&bridge))
            .env("HTTPS_PROXY", format!("http://127.0.0.1:{port}"))
            .env("NO_PROXY", exempt)
            .outcome()
            .fails()
            .says("bridge.invalid:9100  the name is not known here")
            .never_says("by proxy");
        assert!(requests.try_recv().is_err(), "{exempt}");
    };
    thread::scope(|scope| {
        for exempt in ["bridge.invalid", ".invalid", "*.invalid, example.com", "*"] {
            scope.spawn(move || exempted(exempt));
        }
    });
    // A proxy that does not work does not matter for local endpoints.
    bridge
        .client(["print", "TOKEN"])
        .env("HTTPS_PROXY", format!("http://127.0.0.1:{}", closed_port()))
        .outcome()
        .succeeds()
        .prints("hunter2");
}

#[test]
fn a_proxy_that_refuses_is_named_with_its_status_and_reason() {
    let bridge = bridge();
    let refused = |answer: &'static str| {
        let (port, _requests) = proxy(answer, bridge.address());
        let outcome = bridge
            .home
            .command(["print", "TOKEN"])
            .env("BRIDGE_CONF", conf_behind_proxy(&bridge))
            .env("HTTPS_PROXY", format!("http://127.0.0.1:{port}"))
            .outcome()
            .fails()
            .says("hint: the proxy of HTTPS_PROXY or ALL_PROXY does not lead to the bridge");
        (format!("bridge.invalid:9100 by proxy 127.0.0.1:{port}  "), outcome)
    };
    let answers: [(&'static str, &str); 4] = [
        ("HTTP/1.1 403 Not from here\r\n\r\n", "the proxy refused (403 Not from here)"),
        (
            "HTTP/1.0 407 Proxy Authentication Required\r\n\r\n",
            "the proxy refused (407 Proxy Authentication Required)",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "the proxy failed: it does not speak HTTP"),
        ("", "the proxy failed: "),
    ];
    thread::scope(|scope| {
        for (answer, cause) in answers {
            scope.spawn(move || {
                let (endpoint, outcome) = refused(answer);
                outcome.says(&format!("{endpoint}{cause}"));
            });
        }
    });
}

#[test]
fn the_proxys_credentials_go_to_the_proxy_and_are_never_shown() {
    let bridge = bridge();
    let (port, requests) = proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", bridge.address());
    let outcome = bridge
        .home
        .command(["-vv", "print", "TOKEN"])
        .env("BRIDGE_CONF", conf_behind_proxy(&bridge))
        .env("HTTPS_PROXY", format!("http://me%40corp:s3cr3t%21@127.0.0.1:{port}/"))
        .outcome()
        .fails()
        .says(&format!("by proxy 127.0.0.1:{port}  the proxy refused (407"));
    // base64 of `me@corp:s3cr3t!`
    let encoded = "bWVAY29ycDpzM2NyM3Qh";
    assert_eq!(requests.recv_timeout(LIMIT).unwrap()[2], format!("Proxy-Authorization: Basic {encoded}"));
    outcome.never_says("s3cr3t").never_says("me@corp").never_says("me%40corp").never_says(encoded);
}

#[test]
fn only_http_proxies_are_supported() {
    let bridge = bridge();
    bridge
        .home
        .command(["print", "TOKEN"])
        .env("BRIDGE_CONF", conf_behind_proxy(&bridge))
        .env("ALL_PROXY", "socks5://127.0.0.1:1080")
        .outcome()
        .fails()
        .says("bridge.invalid:9100 by proxy 127.0.0.1:1080  only http:// proxies are supported");
}

#[test]
fn the_answer_of_a_proxy_is_escaped() {
    let home = Home::new();
    let bridge = bridge();
    let (port, _requests) = proxy("HTTP/1.1 403 \u{202e}go \u{9b}31maway\r\n\r\n", bridge.address());
    let outcome = home
        .command(["print", "TOKEN"])
        .env("BRIDGE_CONF", conf_behind_proxy(&bridge))
        .env("HTTPS_PROXY", format!("http://127.0.0.1:{port}"))
        .outcome()
        .fails();
    assert!(!outcome.stderr.contains(['\u{202e}', '\u{9b}']), "{}", outcome.stderr);
}
