//! Every length and count that a peer can influence, on one screen. Time limits are with the code that waits.

/// Largest websocket message, and frame, that either side reads, in bytes.
pub const MAX_FRAME: usize = 1 << 20;

/// Bytes of a secret in one `chunk` message. Small enough that two secrets streaming at once take turns.
pub const CHUNK: usize = 64 << 10;

/// Largest secret, in bytes: what a source may yield and what a client accepts as announced length.
pub const MAX_SECRET: u64 = 1 << 30;

/// Longest key of a secret, in ASCII characters.
pub const MAX_KEY: usize = 128;

/// Longest header value that carries a [`Hello`](crate::Hello), in base64url characters. Servers cap the whole
/// request at 64 KiB.
pub const MAX_HELLO: usize = 48 << 10;

/// Most keys in one `get` message.
pub const MAX_KEYS_PER_GET: usize = 4096;

/// Most requests on one connection of a session; their numbers are below it.
pub const MAX_REQUESTS: u32 = 16_384;

/// Most agents that a bridge offers, and secrets that it lists.
pub const MAX_OFFERS: usize = 4096;

/// Longest agent id, in characters of the same alphabet as keys.
pub const MAX_AGENT_ID: usize = MAX_KEY;

/// Longest explanation in a `refused` message, in bytes of UTF-8.
pub const MAX_DETAIL: usize = 1024;

/// Longest bridge conf that is looked at, in characters.
pub const MAX_CONF: usize = 4096;

/// Most endpoints in a conf.
pub const MAX_ENDPOINTS: usize = 16;

/// Longest `host:port` in a conf, in characters (RFC 1035 allows 253 for the name).
pub const MAX_ENDPOINT_TEXT: usize = 253 + 6;

/// Most characters of one string of a peer's that are shown to anyone.
pub const MAX_SHOWN: usize = 200;

/// Most keys of an agent in one `identities` message; further ones are not offered.
pub const MAX_IDENTITIES: usize = 256;

/// Longest public key or certificate of an agent, in bytes.
pub const MAX_PUBLIC_KEY: usize = 16 << 10;

/// Longest comment of an agent's key, in bytes; longer ones are cut.
pub const MAX_COMMENT: usize = 256;

/// All keys and comments of one `identities` message together, in bytes.
pub const MAX_IDENTITIES_SIZE: usize = 512 << 10;

/// Most known_hosts lines, and repositories with a key of their own, that come with an agent.
pub const MAX_AGENT_HOSTS: usize = 256;

/// Most agent channels that are open at once in one session.
pub const MAX_CHANNELS: usize = 64;

/// Most agent messages on one connection of a session: each refusal is a line in the host's audit.
pub const MAX_AGENT_MESSAGES: u32 = 1 << 18;
