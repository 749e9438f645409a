//! Connects named pipes with TCP ports, for tests: they run on Linux, and reach a port of a program under wine, but no pipe.
//!
//! ```text
//! relay.exe open PORT          connects to PORT; each byte that arrives there joins its connection with a new one to
//!                              the agent at SSH_AUTH_SOCK, and the next connection to PORT is made
//! relay.exe listen NAME PORT   creates the pipe NAME; each connection to it is joined with a new one to PORT
//! relay.exe describe           prints the security descriptor of the pipe that SSH_AUTH_SOCK names, and this user
//! relay.exe sleep              prints "asleep" and does nothing until it is killed
//! ```

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "a program for tests")]

#[cfg(not(windows))]
fn main() {}

#[cfg(windows)]
#[tokio::main(flavor = "current_thread")]
async fn main() {
    use std::path::PathBuf;

    use local_ipc::{LocalListener, LocalStream};
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpStream;
    use tokio::net::windows::named_pipe::ClientOptions;
    use windows_permissions::constants::{SeObjectType, SecurityInformation};
    use windows_permissions::wrappers::GetSecurityInfo;

    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let agent = || PathBuf::from(std::env::var_os("SSH_AUTH_SOCK").unwrap());
    let dial =
        async |port: &str| TcpStream::connect(("127.0.0.1", port.parse::<u16>().unwrap())).await.unwrap();
    match words.as_slice() {
        // It dials until the test hangs up instead of saying, by one byte, that it wants a connection.
        ["open", port] => loop {
            let mut stream = dial(port).await;
            if stream.read_u8().await.is_err() {
                break;
            }
            let pipe = LocalStream::connect(&agent()).await.unwrap();
            tokio::spawn(async move { join(stream, pipe).await });
        },
        ["listen", name, port] => {
            let pipe = LocalListener::bind(name.as_ref()).unwrap();
            println!("ready");
            loop {
                let connection = pipe.accept().await.unwrap().unwrap();
                let stream = dial(port).await;
                tokio::spawn(async move { join(connection, stream).await });
            }
        }
        ["describe"] => {
            let pipe = ClientOptions::new().open(agent()).unwrap();
            let parts = SecurityInformation::Owner | SecurityInformation::Dacl;
            let descriptor = GetSecurityInfo(&pipe, SeObjectType::SE_KERNEL_OBJECT, parts).unwrap();
            println!("{}", descriptor.as_sddl().unwrap().to_str().unwrap());
            println!("{}", local_ipc::windows::access::this_user().unwrap());
        }
        ["sleep"] => {
            println!("asleep");
            std::future::pending::<()>().await;
        }
        _ => panic!("{words:?}"),
    }
}

/// Carries bytes until either end closes: a pipe has no half that could be closed alone.
#[cfg(windows)]
async fn join(
    one: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
    other: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
) {
    use tokio::io::{copy, split};
    let (mut from_one, mut to_one) = split(one);
    let (mut from_other, mut to_other) = split(other);
    tokio::select! {
        _ = copy(&mut from_one, &mut to_other) => {}
        _ = copy(&mut from_other, &mut to_one) => {}
    }
}
