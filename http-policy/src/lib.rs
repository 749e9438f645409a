//! What an HTTP request to an origin with a rule may do, which credential is added to it, what is dropped from it and from
//! its answer, and what is refused. No I/O.

mod method;

pub use method::Method;
