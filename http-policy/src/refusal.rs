//! Why a request is refused, and what people read about it.

use http_message::{MessageError, RequestHead, Target};
use proto::http::Origin;

use crate::method::Method;
use crate::path::PathFault;
use crate::rule::{Git, Rule};
use crate::verdict::{MAX_REFUSAL, Refusal, cut, shown};

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The request names another server than the connection, or several.
    Authority,
    NoHost,
    Connect,
    Asterisk,
    /// Upgrade, websocket, gRPC.
    Upgrade,
    Framing(MessageError),
    Expect,
    /// A field that names another resource.
    OtherResource,
    Path(PathFault),
    NearMiss,
    NoRule,
    Method,
    MethodInQuery,
    BodyOfGet,
    Git,
    Push,
    GoGet,
    Lfs,
    EncodedBatch,
}

impl Denied {
    fn status(self) -> u16 {
        match self {
            Self::Authority | Self::NoHost | Self::Asterisk | Self::BodyOfGet => 400,
            Self::Framing(error) => error.status(),
            Self::Connect | Self::Upgrade => 501,
            Self::Expect => 417,
            Self::EncodedBatch => 415,
            Self::OtherResource
            | Self::Path(_)
            | Self::NearMiss
            | Self::NoRule
            | Self::Method
            | Self::MethodInQuery
            | Self::Git
            | Self::Push
            | Self::GoGet
            | Self::Lfs => 403,
        }
    }

    /// A word for the audit.
    fn reason(self) -> &'static str {
        match self {
            Self::Authority | Self::NoHost => "authority",
            Self::Connect | Self::Upgrade => "protocol",
            Self::Framing(_) | Self::BodyOfGet => "framing",
            Self::Expect | Self::OtherResource => "header",
            Self::Asterisk | Self::Path(_) => "path",
            Self::NearMiss => "near-miss",
            Self::NoRule => "no-rule",
            Self::Method | Self::MethodInQuery => "method",
            Self::Git | Self::GoGet => "git",
            Self::Push => "push",
            Self::Lfs | Self::EncodedBatch => "lfs",
        }
    }

    pub(crate) fn refusal(
        self,
        index: Option<usize>,
        rule: Option<&Rule>,
        origin: &Origin,
        head: &RequestHead,
    ) -> Refusal {
        let path = match &head.target {
            // The query may hold a credential of the tool.
            Target::Path(path) | Target::Absolute { path, .. } => path.split('?').next().unwrap_or_default(),
            Target::Authority(authority) => authority,
            Target::Asterisk => "*",
        };
        let request = format!("{} {}", shown(&head.method, 16), shown(path, 70));
        let place = shown(&rule.map_or_else(|| origin.short(), Rule::to_string), 60);
        let text = self.text(&request, &place, rule, head);
        Refusal { rule: index, status: self.status(), reason: self.reason(), text: cut(&text, MAX_REFUSAL) }
    }

    fn text(self, request: &str, place: &str, rule: Option<&Rule>, head: &RequestHead) -> String {
        match self {
            Self::Authority => format!(
                "{request}: the request names another server than {place}, or more than one (Host, or the URL in the \
                 request line): one connection is for one server"
            ),
            Self::NoHost => format!("{request}: the request to {place} has no Host header: use HTTP/1.1"),
            Self::Connect => format!(
                "{request}: no tunnel inside the connection to {place}: connect to that server directly"
            ),
            Self::Asterisk => format!("{request}: requests to {place} need a path"),
            Self::Upgrade => format!(
                "{request}: websocket, gRPC and other protocols are not supported for {place}, which has a rule: use HTTP/1.1"
            ),
            Self::Framing(error) => format!("{request}: ambiguous request to {place}: {error}"),
            Self::Expect => format!("{request}: only `Expect: 100-continue` is supported for {place}"),
            Self::OtherResource => format!(
                "{request}: a header of the request names another resource (Destination, …-Copy-Source), which the rule \
                 {place} cannot judge: copy in two requests"
            ),
            Self::Path(fault) => format!(
                "{request}: servers read this path in different ways, and the rule {place} cannot judge it: {fault}; \
                 request the path in its plain form"
            ),
            Self::NearMiss => format!(
                "{request}: a server could take this path for one of the rule {place}, from which it differs (case, .git, \
                 or what follows ; or :): write it as the rule does"
            ),
            Self::NoRule => {
                let which =
                    if rule.is_some() { "not a path of the rule" } else { "not a path of any rule of" };
                format!(
                    "{request}: {which} {place}: for this path, add another --http-credential HOST/PATH=VARIABLE"
                )
            }
            Self::Method => {
                let methods = rule.map(Rule::methods).unwrap_or_default();
                match head.method.parse::<Method>() {
                    Ok(method) => format!(
                        "{request}: the rule {place} permits {} only: to permit it, write {}",
                        words(methods),
                        option(methods, method)
                    ),
                    Err(_) => format!(
                        "{request}: the rule {place} permits {} only, and no rule can permit this method",
                        words(methods)
                    ),
                }
            }
            Self::MethodInQuery => format!(
                "{request}: a parameter of the query asks for another method, which the rule {place} cannot judge: use \
                 that method, and permit it with methods="
            ),
            Self::BodyOfGet => format!(
                "{request}: a GET or HEAD with a body is ambiguous, and goes not to {place}: send none"
            ),
            Self::Git => {
                let git = match rule.map_or(Git::None, |rule| rule.git) {
                    Git::Push => "git clone, fetch and push",
                    Git::None | Git::Fetch => "git clone and fetch",
                };
                let methods = rule.map(Rule::methods).unwrap_or_default();
                let remedy = match head.method.parse() {
                    Ok(method) => format!("to permit other requests too, write {}", option(methods, method)),
                    Err(_) => "no rule can permit this method".to_owned(),
                };
                format!("{request}: the rule {place} permits {git} only: {remedy}")
            }
            Self::Push => format!(
                "{request}: the rule {place} permits git clone and fetch, no push: to permit it, write git+push for git"
            ),
            Self::GoGet => format!(
                "{request}: ?go-get=1 is any GET, and the rule {place} permits git only: use GOPROXY, or a module path \
                 that ends in .git, or permit methods=GET"
            ),
            Self::Lfs => {
                format!("{request}: the rule {place} does not permit git LFS: to permit it, write git,lfs")
            }
            Self::EncodedBatch => format!(
                "{request}: the batch request of git LFS to {place} is compressed: send it without Content-Encoding"
            ),
        }
    }
}

fn words(methods: &[Method]) -> String {
    let words: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    if words.is_empty() { "git".to_owned() } else { words.join(" and ") }
}

/// The option that permits `method` too.
fn option(methods: &[Method], method: Method) -> String {
    let all = methods.iter().copied().filter(|other| *other != method).chain([method]);
    format!("methods={}", all.map(Method::as_str).collect::<Vec<_>>().join("+"))
}

#[cfg(test)]
mod tests;
