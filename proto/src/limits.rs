//! Every length and count that a peer can influence, on one screen. Time limits are with the code that waits.

/// Defines the constants, and [`LIMITS`] with all of them.
macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $integer:ty = $value:expr;)*) => {
        $($(#[$doc])* pub const $name: $integer = $value;)*

        /// Name and value of every limit, for tests that compare them with `docs/PROTOCOL.md`.
        pub const LIMITS: &[(&str, u64)] = &[$((stringify!($name), $name as u64)),*];
    };
}

limits! {
    /// Most bytes of a ClientHello, with the headers of its records. One with X25519MLKEM768 and a knock has some 1,400.
    MAX_CLIENT_HELLO: usize = 4 << 10;

    /// Largest websocket message, and frame, that either side reads, in bytes.
    MAX_FRAME: usize = 1 << 20;

    /// Bytes of a secret in one `chunk` message. Small enough that two secrets streaming at once take turns.
    CHUNK: usize = 64 << 10;

    /// Largest secret, in bytes: what a source may yield and what a client accepts as announced length.
    MAX_SECRET: u64 = 1 << 30;

    /// Longest key of a secret, in ASCII characters.
    MAX_KEY: usize = 128;

    /// Longest header value that carries a [`Hello`](crate::Hello), in base64url characters. Servers cap the whole
    /// request at 64 KiB.
    MAX_HELLO: usize = 48 << 10;

    /// Most keys in one `get` message.
    MAX_KEYS_PER_GET: usize = 4096;

    /// Most requests on one connection of a session; their numbers are below it.
    MAX_REQUESTS: u32 = 16_384;

    /// Most agents that a bridge offers, and secrets that it lists.
    MAX_OFFERS: usize = 4096;

    /// Longest agent id, in characters of the same alphabet as keys.
    MAX_AGENT_ID: usize = MAX_KEY;

    /// Longest explanation in a `refused` message, in bytes of UTF-8.
    MAX_DETAIL: usize = 1024;

    /// Longest bridge conf that is parsed, in characters.
    MAX_CONF: usize = 4096;

    /// Most endpoints in a conf.
    MAX_ENDPOINTS: usize = 16;

    /// Longest `host:port` in a conf, in characters (RFC 1035 allows 253 for the name).
    MAX_ENDPOINT_TEXT: usize = 253 + 6;

    /// Most characters of one string from a peer that are shown.
    MAX_SHOWN: usize = 200;

    /// Longest message of the agent protocol that either side reads, in bytes without its length prefix. OpenSSH's own
    /// agent has the same limit.
    MAX_MESSAGE: usize = 256 << 10;

    /// Most session-binds on one connection, as in OpenSSH's agent.
    MAX_BINDS: usize = 16;

    /// Most keys of an agent in one `identities` message; further ones are not offered.
    MAX_IDENTITIES: usize = 256;

    /// Longest public key or certificate of an agent, in bytes.
    MAX_PUBLIC_KEY: usize = 16 << 10;

    /// Longest comment of an agent's key, in bytes; longer ones are cut.
    MAX_COMMENT: usize = 256;

    /// All keys and comments of one `identities` message together, in bytes.
    MAX_IDENTITIES_SIZE: usize = 512 << 10;

    /// Most known_hosts lines, and repositories with a key of their own, that come with an agent.
    MAX_AGENT_HOSTS: usize = 256;

    /// Longest known_hosts line, in characters. An RSA key of 16,384 bits has 2,800.
    MAX_KNOWN_HOST: usize = 8 << 10;

    /// Longest [`Repository`](crate::agent::Repository), in characters.
    MAX_REPOSITORY: usize = 512;

    /// Longest host name of an origin, in characters (RFC 1035).
    MAX_HOST: usize = 253;

    /// Most origins that have rules.
    MAX_ORIGINS: usize = 256;

    /// Most bytes of HTTP in one message of a stream.
    STREAM_CHUNK: usize = 16 << 10;

    /// Largest websocket message, and frame, of a stream, in bytes: [`STREAM_CHUNK`] and what precedes it, one byte more in
    /// an answer, whose number is over 23.
    MAX_STREAM_FRAME: usize = STREAM_CHUNK + 6;

    /// Most streams that a session has at once.
    MAX_STREAMS: usize = 128;

    /// Longest URL in a `signed-url` message, in bytes; of longer ones no message is sent.
    MAX_SIGNED_URL: usize = 8 << 10;

    /// Most agent channels that are open at once in one session.
    MAX_CHANNELS: usize = 64;

    /// Most agent messages on one connection of a session: each refusal is a line in the host's audit.
    MAX_AGENT_MESSAGES: u32 = 1 << 18;
}
