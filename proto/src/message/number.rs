//! Numbers of messages, the first item of each. Those below 16 are the client's, the others the bridge's.

pub(super) const GET: u8 = 1;
pub(super) const AGENT_MESSAGE: u8 = 2;
pub(super) const CLOSE: u8 = 3;
pub(super) const LIST_AGAIN: u8 = 4;
pub(super) const WELCOME: u8 = 16;
pub(super) const LENGTH: u8 = 17;
pub(super) const CHUNK: u8 = 18;
pub(super) const REFUSED: u8 = 19;
pub(super) const OFFERS: u8 = 20;
pub(super) const ENDING: u8 = 21;
pub(super) const AGENT: u8 = 22;
pub(super) const IDENTITIES: u8 = 23;
pub(super) const ANSWER: u8 = 24;
pub(super) const WAITING: u8 = 25;
