//! The header fields of a request that have a meaning of their own here.
//!
//! Names are compared as programs behind CGI see them, which cannot tell `Content_Length`, `Content.Length` and
//! `Content-Length` apart.

/// What becomes of a field of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// For this connection only, or for a proxy: dropped.
    HopByHop,
    /// Content-Length and Transfer-Encoding: written anew from what was understood.
    Framing,
    /// Written anew, from the rule.
    Host,
    /// Tells a server of another address, path, method or user than the request has: dropped.
    Override,
    /// Names another resource that the request reads or writes: refused.
    OtherResource,
    /// Answered by the host.
    Expect,
    /// Asks for another protocol: refused.
    Upgrade,
    /// The tool's own credential.
    Authorization,
    /// Goes on as it is.
    Ordinary,
}

/// What becomes of the field of this name.
pub(crate) fn field(name: &str) -> Field {
    let name = canonical(name);
    match name.as_str() {
        "connection" | "keep-alive" | "te" | "trailer" | "http2-settings" | "proxy" => Field::HopByHop,
        "content-length" | "transfer-encoding" => Field::Framing,
        "host" => Field::Host,
        "expect" => Field::Expect,
        "upgrade" => Field::Upgrade,
        "authorization" => Field::Authorization,
        "destination" | "x-copy-from" => Field::OtherResource,
        _ if name.ends_with("-copy-source") => Field::OtherResource,
        _ if name.starts_with("proxy-") => Field::HopByHop,
        _ if is_override(&name) => Field::Override,
        _ => Field::Ordinary,
    }
}

/// Whether these are the same name to a program behind CGI.
pub(crate) fn same_name(one: &str, other: &str) -> bool {
    canonical(one) == canonical(other)
}

/// Whether a rule may put the credential into the field of this name.
pub(crate) fn may_carry_credential(name: &str) -> bool {
    let own = canonical(name);
    let has_meaning = ["content-", "accept", "if-", "sec-", "range", "cache-control", "date", "via"];
    matches!(field(name), Field::Ordinary | Field::Authorization)
        && !has_meaning.iter().any(|prefix| own.starts_with(prefix))
}

fn canonical(name: &str) -> String {
    let map = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(map).collect()
}

/// Names of whole fields; the rest are families.
const OVERRIDES: [&str; 35] = [
    "forwarded",
    "via",
    // Variables of CGI and WSGI, which some servers take from fields of these names.
    "auth-type",
    "auth-user",
    "document-root",
    "document-uri",
    "gateway-interface",
    "https",
    "path-info",
    "path-translated",
    "query-string",
    "remote-addr",
    "remote-host",
    "remote-user",
    "request-uri",
    "script-filename",
    "script-name",
    "server-name",
    "server-port",
    // Hosts, paths and schemes.
    "base-url",
    "front-end-https",
    "x-base-url",
    "x-backend-host",
    "x-host",
    "x-path",
    "x-path-info",
    "x-real-host",
    "x-request-uri",
    "x-scheme",
    "x-script-name",
    "x-server-name",
    "x-sendfile-type",
    "x-uri",
    "x-url-scheme",
    "x-wap-profile",
];

const OVERRIDE_FAMILIES: [&str; 14] = [
    "x-forward",
    "x-original-",
    "x-rewrite-",
    "x-accel-",
    "x-arr-",
    "x-envoy-",
    "x-middleware-",
    "x-proxy-",
    "x-proxyuser-",
    "x-remote-",
    "x-waws-",
    "x-wsgi-",
    "x-http-host",
    "x-http-path",
];

fn is_override(name: &str) -> bool {
    // X-HTTP-Method, X-HTTP-Method-Override, X-Method-Override, _method; a browser's CORS question is another thing.
    let is_method = name.contains("method") && name != "access-control-request-method";
    let is_address =
        name.ends_with("-client-ip") || name.ends_with("-connecting-ip") || name.ends_with("real-ip");
    let is_url = name.contains("override") || name.ends_with("original-url") || name.ends_with("rewrite-url");
    is_method
        || is_address
        || is_url
        || OVERRIDES.contains(&name)
        || OVERRIDE_FAMILIES.iter().any(|family| name.starts_with(family))
}

#[cfg(test)]
mod tests;
