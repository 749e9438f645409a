//! Systems that name the process of a connection only through interfaces that need `unsafe`.

use std::io;
use std::net::SocketAddr;

use super::Owner;

pub(crate) const KNOWS_OWNERS: bool = false;

pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(())
}

pub(crate) fn owner_of(_peer: SocketAddr, _local: SocketAddr) -> Owner {
    Owner::Unknown
}
