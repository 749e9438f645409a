//! What a request to a git server asks for.

use crate::method::Method;
use crate::path::{Segments, looks_like};

/// What a request asks for, by its method, path and query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// `GET …/info/refs?service=…`, or `POST …/git-…-pack`.
    Git(Service),
    /// `GET …?go-get=1`.
    GoGet,
    /// `POST …/info/lfs/objects/batch`.
    LfsBatch,
    /// GET or HEAD of a file of git LFS.
    LfsFetch,
    /// PUT of a file of git LFS, and the calls that belong to it.
    LfsSend,
    /// A server could take it for one of git's, and it is none as it stands.
    LikeGit,
    /// A server could take it for one of git LFS, and it is none as it stands.
    LikeLfs,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// The server's side of clone and fetch.
    UploadPack,
    /// The server's side of push.
    ReceivePack,
}

/// The call, and the number of segments at the end of the path that belong to it and not to the repository.
pub(crate) fn call(
    method: Option<Method>,
    path: &str,
    query: Option<&str>,
    segments: &Segments,
    content_type: Option<&[u8]>,
) -> (Call, usize) {
    // The end of the path has to stand there as it is, not encoded, and without a slash after it.
    let decoded: Vec<&str> = segments.iter().collect();
    let written: Vec<&str> = path.split('/').skip(1).collect();
    let tail = |count: usize| {
        let tail = last(&decoded, count);
        if last(&written, count) == tail { tail } else { &[] }
    };
    let of_type = |service: &str| content_type == Some(format!("application/x-{service}-request").as_bytes());
    match (method, tail(1), query) {
        (Some(Method::Post), ["git-upload-pack"], None) if of_type("git-upload-pack") => {
            return (Call::Git(Service::UploadPack), 1);
        }
        (Some(Method::Post), ["git-receive-pack"], None) if of_type("git-receive-pack") => {
            return (Call::Git(Service::ReceivePack), 1);
        }
        _ => {}
    }
    match (method, tail(2), query) {
        (Some(Method::Get), ["info", "refs"], Some("service=git-upload-pack")) => {
            return (Call::Git(Service::UploadPack), 2);
        }
        (Some(Method::Get), ["info", "refs"], Some("service=git-receive-pack")) => {
            return (Call::Git(Service::ReceivePack), 2);
        }
        _ => {}
    }
    match (method, tail(4), query) {
        (Some(Method::Post), ["info", "lfs", "objects", "batch"], None) => return (Call::LfsBatch, 4),
        (Some(Method::Get | Method::Head), ["info", "lfs", "objects", oid], None) if is_oid(oid) => {
            return (Call::LfsFetch, 4);
        }
        (Some(Method::Post), ["info", "lfs", "locks", "verify"], None) => return (Call::LfsSend, 4),
        _ => {}
    }
    match (method, tail(3), query) {
        // GitLab's.
        (Some(Method::Get | Method::Head), ["gitlab-lfs", "objects", oid], None) if is_oid(oid) => {
            return (Call::LfsFetch, 3);
        }
        // Gitea's and Forgejo's.
        (Some(Method::Post), ["info", "lfs", "verify"], None) => return (Call::LfsSend, 3),
        _ => {}
    }
    match (method, tail(5), query) {
        (Some(Method::Put), ["info", "lfs", "objects", oid, size], None) if is_oid(oid) && is_size(size) => {
            return (Call::LfsSend, 5);
        }
        _ => {}
    }
    match (method, tail(4), query) {
        (Some(Method::Put), ["gitlab-lfs", "objects", oid, size], None) if is_oid(oid) && is_size(size) => {
            return (Call::LfsSend, 4);
        }
        _ => {}
    }
    (by_likeness(method, query, &decoded), 0)
}

fn last<'a, 's>(all: &'a [&'s str], count: usize) -> &'a [&'s str] {
    all.len().checked_sub(count).and_then(|at| all.get(at..)).unwrap_or_default()
}

fn by_likeness(method: Option<Method>, query: Option<&str>, segments: &[&str]) -> Call {
    let plain: Vec<String> = segments
        .iter()
        .map(|segment| segment.chars().map(|c| looks_like(c).unwrap_or(c)).collect::<String>().to_lowercase())
        .collect();
    let has = |word: &str| plain.iter().any(|segment| segment.contains(word));
    let is_go_get =
        query.is_some_and(|query| query.split(['&', ';']).any(|pair| pair.starts_with("go-get=")));
    match method {
        Some(Method::Get | Method::Head) if is_go_get => Call::GoGet,
        // Reading needs no more care than the methods take.
        Some(Method::Get | Method::Head) => Call::Other,
        Some(_) | None if has("git-upload-pack") || has("git-receive-pack") => Call::LikeGit,
        Some(_) | None if has("lfs") && has("batch") => Call::LikeLfs,
        Some(_) | None => Call::Other,
    }
}

/// The SHA-256 of a file, as git LFS names it.
pub(crate) fn is_oid(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_size(text: &str) -> bool {
    (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}
