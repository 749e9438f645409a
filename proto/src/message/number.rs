//! Numbers of messages, the first item of each. Those below 16 are the client's, the others the bridge's.

pub(super) const GET: u8 = 1;
pub(super) const AGENT_MESSAGE: u8 = 2;
pub(super) const CLOSE: u8 = 3;
pub(super) const LIST_AGAIN: u8 = 4;
pub(super) const CONNECT: u8 = 5;
pub(super) const REQUEST_BYTES: u8 = 6;
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
pub(super) const ORIGINS: u8 = 26;
pub(super) const ANSWER_BYTES: u8 = 27;
pub(super) const IDLE: u8 = 28;
pub(super) const FINISHED: u8 = 29;
pub(super) const REFUSAL: u8 = 30;
pub(super) const SIGNED_URL: u8 = 31;
