//! Systems that name the process of a connection only through interfaces that need `unsafe`.

use std::io;
use std::net::SocketAddr;

pub(crate) const KNOWS_OWNERS: bool = false;

pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(())
}

pub(crate) fn is_from_descendant(_peer: SocketAddr, _local: SocketAddr) -> bool {
    false
}
