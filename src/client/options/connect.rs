//! What the commands of a build have in common.

use std::ffi::OsStr;

use bridge_client::conf_source::{self, ConfSourceError};
use bridge_client::{Client, ClientError};
use clap::Args;

use crate::failure::Failure;
use crate::values;

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
        self.client_unless_none(conf)?.map_err(|no_conf| ClientError::from(no_conf).into())
    }

    /// As [`Self::client`]. The inner error is [`ConfSourceError::NotFound`]: there is no conf anywhere.
    ///
    /// # Errors
    /// [`Failure::Usage`] or [`Failure::Client`].
    pub(crate) fn client_unless_none(
        &self,
        conf: Option<&OsStr>,
    ) -> Result<Result<Client, ConfSourceError>, Failure> {
        let named = values::endpoints(&self.endpoints)?;
        match conf_source::find(conf) {
            Ok(conf) => Ok(Ok(Client::new(&conf, &named)?)),
            Err(none @ ConfSourceError::NotFound(_)) => Ok(Err(none)),
            Err(error) => Err(ClientError::from(error).into()),
        }
    }
}
