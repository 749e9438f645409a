//! The SSH agent for COMMAND: `--ssh` and `--no-ssh-agent` of `exec`.

use bridge_client::{Access, AgentRequest};
use clap::Args;
use proto::agent::AgentId;

use crate::client::options::access;
use crate::usage::UsageError;

const SSH: &str = "--ssh";
const DEFAULT_ID: &str = "default";
/// BuildKit's for the agent's socket.
const DEFAULT_MODE: u32 = 0o600;

// (A doc comment would become the help of `exec`.)
#[derive(Debug, Args)]
#[command(next_help_heading = "SSH agent")]
pub(crate) struct AgentOptions {
    /// Give COMMAND the SSH agent ID, or fail if there is none
    ///
    /// Default: the agent `default`, if the bridge offers it.
    ///
    /// After ID or instead of it, these may follow: uid=USER and gid=GROUP (numbers or names, for a COMMAND that gives up
    /// root: ssh and git of this user can use the agent), mode=0600 (of the agent's socket).
    #[cfg_attr(windows, doc = "On Windows, uid and gid are refused, and mode has no effect.")]
    #[arg(long = "ssh", value_name = "ID[,uid=USER,…]", num_args = 0..=1, default_missing_value = DEFAULT_ID)]
    ssh: Option<String>,
    /// Give COMMAND no SSH agent, and leave SSH_AUTH_SOCK as it is
    #[arg(short = 'A', long = "no-ssh-agent", conflicts_with = "ssh")]
    no_ssh_agent: bool,
}

impl AgentOptions {
    /// # Errors
    /// [`UsageError`].
    pub(crate) fn resolve(&self) -> Result<AgentRequest, UsageError> {
        match &self.ssh {
            Some(text) => required(text),
            None if self.no_ssh_agent => Ok(AgentRequest::None),
            None => Ok(AgentRequest::IfOffered(agent_id(DEFAULT_ID)?)),
        }
    }
}

fn required(text: &str) -> Result<AgentRequest, UsageError> {
    let mut access = Access::own(DEFAULT_MODE);
    let mut id = None;
    for (index, field) in text.split(',').enumerate() {
        match field.split_once('=') {
            None if index == 0 => id = Some(field),
            Some(("id", value)) if id.is_none() => id = Some(value),
            Some((name, value)) if access::set(&mut access, SSH, name, value)? => {}
            None | Some(_) => {
                return Err(UsageError::option(SSH, "only uid=…, gid=… and mode=… may follow the ID"));
            }
        }
    }
    Ok(AgentRequest::Required(agent_id(id.unwrap_or(DEFAULT_ID))?, access))
}

fn agent_id(text: &str) -> Result<AgentId, UsageError> {
    text.parse::<AgentId>().map_err(|error| UsageError::option(SSH, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn fields_follow_the_id_or_stand_alone() {
        let user = Access { uid: Some(7), gid: None, mode: 0o600 };
        for (text, id, access) in [
            ("default", "default", Access::own(0o600)),
            ("other", "other", Access::own(0o600)),
            ("uid=7", "default", user),
            ("other,uid=7", "other", user),
            ("id=other,uid=7", "other", user),
            ("gid=8,mode=0660,uid=7", "default", Access { gid: Some(8), mode: 0o660, ..user }),
        ] {
            let Ok(AgentRequest::Required(found, with)) = required(text) else { panic!("{text}") };
            assert_eq!((found.as_str(), with), (id, access), "{text}");
        }
        for wrong in ["", "a b", "default,", "default,other", "default,id=other", "default,target=/x", "uid="]
        {
            assert!(required(wrong).is_err(), "{wrong}");
        }
    }
}
