//! What an HTTP request to an origin with a rule may do, which credential is added to it, what is dropped from it and from
//! its answer, and what is refused. Pure: no sockets, files, clock or async runtime.
//!
//! ```text
//! place, rule, rules   what the user allows: origin, path, methods, git, how the credential is added
//! judge                the verdict on one request, a closed table, from
//!   authority            which server the request names
//!   path                 the list of paths that pass, and which rule is for one
//!   call                 what a request asks of a git server
//!   fields               header fields with a meaning of their own
//! rewrite              the request that goes to the server
//! credential           what is added to it, last
//! answer, echo         what of the answer reaches the build
//! lfs                  the batch call of git LFS, request and answer
//! refusal              the reasons, and what people read about them
//! ```
//!
//! [`Rules::judge`] is the entry.

#![forbid(unsafe_code)]

mod answer;
mod auth;
mod authority;
mod call;
mod credential;
mod echo;
mod fields;
mod json;
pub mod lfs;
mod method;
mod path;
mod place;
mod refusal;
mod rewrite;
mod rule;
mod rules;
#[cfg(test)]
mod testing;
mod verdict;

mod judge;

pub use answer::Answered;
pub use auth::Auth;
pub use credential::{CredentialError, MAX_CREDENTIAL};
pub use echo::Echo;
pub use method::{Method, UnknownMethod};
pub use place::{InvalidPath, PlaceError, RulePath, RulePlace};
pub use rule::{Git, Own, Plain, Rule, RuleError, Scheme};
pub use rules::Rules;
pub use verdict::{MAX_REFUSAL, Permitted, Refusal, RequestKind, Verdict};
