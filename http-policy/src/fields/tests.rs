use super::*;

#[test]
fn fields_that_name_another_address_or_method_are_known() {
    for name in [
        "Forwarded",
        "Via",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "x-forwarded-uri",
        "X-Forwarded",
        "X-Forwarded-Server",
        "X-Forward-For",
        "X-Original-URL",
        "X-Original-Host",
        "X-Original-Method",
        "X-Rewrite-URL",
        "X-HTTP-Method",
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "X-METHOD",
        "_method",
        "Method-Override",
        "X-HTTP-MethodOverride",
        "X-Host",
        "X-Real-IP",
        "X-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-HTTP-Host-Override",
        "X-Override-URL",
        "X-Accel-Redirect",
        "X-Sendfile-Type",
        "Script-Name",
        "Path-Info",
        "X-Script-Name",
        "Request-URI",
        "Remote-User",
        "X-Remote-User",
        "X-Envoy-Original-Path",
        "X-Middleware-Subrequest",
        "X-WAWS-Unencoded-URL",
        "X-Proxy-Url",
        "Base-Url",
        "HTTPS",
        "X-URL-Scheme",
        "Front-End-Https",
    ] {
        // As CGI has them, as PHP takes `.`, and as some servers take every other character.
        for written in [
            name.to_owned(),
            name.replace('-', "_"),
            name.to_uppercase(),
            name.replace('-', "."),
            name.replace('-', "~"),
        ] {
            assert_eq!(field(&written), Field::Override, "{written}");
        }
    }
}

#[test]
fn fields_of_the_connection_and_of_framing_are_known() {
    for (name, expected) in [
        ("Connection", Field::HopByHop),
        ("Keep-Alive", Field::HopByHop),
        ("Proxy-Connection", Field::HopByHop),
        ("Proxy-Authorization", Field::HopByHop),
        ("Proxy-Foo", Field::HopByHop),
        ("Proxy", Field::HopByHop), // HTTP_PROXY of a CGI program
        ("TE", Field::HopByHop),
        ("Trailer", Field::HopByHop),
        ("HTTP2-Settings", Field::HopByHop),
        ("Content-Length", Field::Framing),
        ("Transfer-Encoding", Field::Framing),
        ("Host", Field::Host),
        ("Expect", Field::Expect),
        ("Upgrade", Field::Upgrade),
        ("Authorization", Field::Authorization),
        ("Destination", Field::OtherResource),
        ("X-Amz-Copy-Source", Field::OtherResource),
        ("X-Copy-From", Field::OtherResource),
    ] {
        for written in [
            name.to_owned(),
            name.to_lowercase(),
            name.to_uppercase(),
            name.replace('-', "_"),
            name.replace('-', "!"),
        ] {
            assert_eq!(field(&written), expected, "{written}");
        }
    }
}

#[test]
fn other_fields_are_the_tools() {
    for name in [
        "Accept",
        "Accept-Encoding",
        "User-Agent",
        "Cookie",
        "Range",
        "If-None-Match",
        "Content-Type",
        "Content-Encoding",
        "Git-Protocol",
        "npm-command",
        "X-Api-Key",
        "Private-Token",
        "X-NuGet-ApiKey",
        "Origin",
        "Referer",
        "Cache-Control",
        "X-Requested-With",
        "Access-Control-Request-Method",
        "X-Content-Length",
        "Hostname",
        "Authorization-Info",
        "pip-index",
        "Pragma",
        "Date",
    ] {
        assert_eq!(field(name), Field::Ordinary, "{name}");
    }
}
