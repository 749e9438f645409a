//! Requests signatures from the agent of `SSH_AUTH_SOCK`, as ssh does, and prints the median time of one, in microseconds.
//!
//! `agent_client MODE COUNT THREADS`, where MODE is
//! `open`: all signatures of a thread on one connection;
//! `fresh`: a new connection for each;
//! `login`: a new connection for each, on which the keys are listed first.

use std::env;
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Instant;

use proto::agent::{Identity, Reader, Writer, number, read_identities};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

struct Agent(UnixStream);

impl Agent {
    fn connect() -> Result<Self> {
        Ok(Self(UnixStream::connect(env::var("SSH_AUTH_SOCK")?)?))
    }

    fn call(&mut self, message: &[u8]) -> Result<Vec<u8>> {
        self.0.write_all(&[&u32::try_from(message.len())?.to_be_bytes(), message].concat())?;
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut answer)?;
        Ok(answer)
    }

    fn key(&mut self) -> Result<Vec<u8>> {
        let identities = read_identities(&self.call(&[number::REQUEST_IDENTITIES])?)?;
        let first: Option<Identity> = identities.into_iter().next();
        Ok(first.ok_or("the agent has no key")?.key)
    }

    fn sign(&mut self, request: &[u8]) -> Result<()> {
        match self.call(request)?.first() {
            Some(&number::SIGN_RESPONSE) => Ok(()),
            _ => Err("the agent did not sign".into()),
        }
    }
}

/// For a login as `git` (RFC 4252, section 7), in an invented session.
fn sign_request(key: &[u8]) -> Result<Vec<u8>> {
    let algorithm = Reader::new(key).string()?;
    let mut login = Writer::inner();
    login.string(&[7; 32]).u8(50).string(b"git").string(b"ssh-connection").string(b"publickey").bool(true);
    login.string(algorithm).string(key);
    let mut request = Writer::new(number::SIGN_REQUEST);
    request.string(key).string(&login.finish()).u32(0);
    Ok(request.finish())
}

fn times(mode: &str, count: usize) -> Result<Vec<f64>> {
    let mut agent = Agent::connect()?;
    let request = sign_request(&agent.key()?)?;
    let mut times = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        match mode {
            "open" => agent.sign(&request)?,
            "fresh" => {
                agent = Agent::connect()?;
                agent.sign(&request)?;
            }
            _ => {
                agent = Agent::connect()?;
                agent.key()?;
                agent.sign(&request)?;
            }
        }
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}

#[allow(clippy::print_stdout, reason = "its only purpose")]
fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [mode, count, threads] = arguments.as_slice() else {
        return Err("usage: agent_client MODE COUNT THREADS".into());
    };
    let (count, threads): (usize, usize) = (count.parse()?, threads.parse()?);
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let mode = mode.clone();
            thread::spawn(move || times(&mode, count / threads))
        })
        .collect();
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.join().map_err(|_| "a thread panicked")??);
    }
    all.sort_by(f64::total_cmp);
    println!("{}", all.get(all.len() / 2).ok_or("nothing was measured")?);
    Ok(())
}
