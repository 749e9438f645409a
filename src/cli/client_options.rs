//! What the commands of a build have in common.

use std::ffi::OsStr;

use bridge_client::{Client, ClientError, carrier};
use clap::Args;

use crate::cli::parse;
use crate::exit::Failure;

// Options of every command that dials. (A doc comment would become the help of each.)
#[derive(Debug, Args)]
pub(crate) struct ClientOptions {
    /// An address of the bridge to try before those in the conf; may be repeated
    #[arg(long = "endpoint", value_name = "HOST:PORT")]
    endpoints: Vec<String>,
}

impl ClientOptions {
    /// Finds the conf and prepares to dial its bridge.
    ///
    /// # Errors
    /// [`Failure::Usage`] or [`Failure::Client`].
    pub(crate) fn client(&self, conf: Option<&OsStr>) -> Result<Client, Failure> {
        let named = parse::endpoints(&self.endpoints)?;
        let conf = carrier::find(conf).map_err(ClientError::from)?;
        Ok(Client::new(&conf, &named)?)
    }
}
