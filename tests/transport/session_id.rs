//! The client chooses its session's id: a first hello that is repeated counts once, and an id that is used again does not
//! evade a limit.

use proto::{Hello, Purpose, RefusalReason, SessionId};

use crate::peer::{
    AUDIT, Client, Received, TlsClient, hello, new_session, of_kind, records, resuming, status,
};
use crate::support::Bridge;

fn bridge(args: &[&str]) -> Bridge {
    let secrets = ["--secret", "id=once,cmd=printf gem,max-reads=1", "--audit", AUDIT];
    Bridge::serve(secrets.iter().chain(args).copied())
}

fn reads_gem(client: &mut Client) {
    assert_eq!((client.next(), client.next()), (Received::Length(0, 3), Received::Chunk(0, b"gem".to_vec())));
}

#[test]
fn a_repeated_first_hello_counts_once() {
    let bridge = bridge(&["--once"]);
    let first = hello(&["once"]);
    // The answer is lost, with the connection still open and after it broke.
    let lost = TlsClient::to(&bridge.conf).unwrap().upgrade(&first).unwrap();
    drop(TlsClient::to(&bridge.conf).unwrap().upgrade(&first).unwrap());
    let (mut client, _) = Client::with_hello(&bridge.conf, &first);
    reads_gem(&mut client);
    assert_eq!(status(TlsClient::to(&bridge.conf).unwrap().upgrade(&hello(&["once"]))), 410);
    client.close();
    bridge.process.exits();
    drop(lost);
    let redials: Vec<bool> = of_kind(&records(&bridge), "session-begun")
        .iter()
        .map(|record| record["redial"].as_bool().unwrap())
        .collect();
    assert_eq!(redials, [false, true, true]);
}

#[test]
fn the_id_of_an_ended_session_evades_no_limit() {
    let bridge = bridge(&["--max-sessions", "2"]);
    let (mut client, session) = Client::begin(&bridge.conf, &["once"]);
    reads_gem(&mut client);
    client.socket.close(None).unwrap();
    while client.next() != Received::Gone {}

    assert_eq!(
        status(TlsClient::to(&bridge.conf).unwrap().upgrade(&resuming(session, hello(&["once"])))),
        404
    );
    let again = Hello { session, ..hello(&["once"]) };
    let (mut client, _) = Client::with_hello(&bridge.conf, &again);
    assert_eq!(client.next(), Received::Refused(0, RefusalReason::ReadLimit));
    // With its second session the bridge has ended: both counted.
    client.close();
    bridge.process.exits();
}

#[test]
fn a_hello_that_does_not_fit_its_purpose_is_refused() {
    let bridge = bridge(&[]);
    let session = new_session();
    for bad in [
        Hello::without_session(Purpose::Session),
        Hello { parent: Some(session), session, ..hello(&[]) },
        Hello { parent: Some(SessionId::NONE), ..hello(&[]) },
        Hello { session, ..Hello::without_session(Purpose::Test) },
        Hello { resume: true, ..Hello::without_session(Purpose::Kill) },
        Hello { parent: Some(session), ..Hello::without_session(Purpose::Kill) },
    ] {
        assert_eq!(status(TlsClient::to(&bridge.conf).unwrap().upgrade(&bad)), 400, "{bad:?}");
    }
    assert!(of_kind(&records(&bridge), "session-begun").is_empty());
}
