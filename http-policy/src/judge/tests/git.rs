use crate::testing::{judge, rules, word};
use crate::verdict::RequestKind;

const PACK: &str = "Content-Type: application/x-git-upload-pack-request";
const PUSH: &str = "Content-Type: application/x-git-receive-pack-request";
const OID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn a_git_rule_permits_what_git_does_and_no_more() {
    let fetch = rules(&["h.example/org,git"]);
    let push = rules(&["h.example/org,git+push"]);
    for (request, fields, by_fetch, by_push) in [
        ("GET /org/repo.git/info/refs?service=git-upload-pack", &[][..], "ok", "ok"),
        ("GET /org/a/b/c/info/refs?service=git-upload-pack", &[], "ok", "ok"),
        ("GET /o%72g/repo/info/refs?service=git-upload-pack", &[], "ok", "ok"),
        ("POST /org/repo/git-upload-pack", &[PACK], "ok", "ok"),
        ("GET /org/repo/info/refs?service=git-receive-pack", &[], "push", "ok"),
        ("POST /org/repo/git-receive-pack", &[PUSH], "push", "ok"),
        // Not what git asks for.
        ("GET /org/repo/info/refs", &[], "git", "git"),
        ("GET /org/repo/info/refs?", &[], "git", "git"),
        ("GET /org/repo/info/refs?service=git-upload-archive", &[], "git", "git"),
        ("GET /org/repo/info/refs?service=git-upload-pack&a=b", &[], "git", "git"),
        ("GET /org/repo/info/refs?service=git-upload-pack&service=git-receive-pack", &[], "git", "git"),
        ("GET /org/repo/info/refs?service=git%2dupload-pack", &[], "git", "git"),
        ("GET /org/repo/info/refs?Service=git-upload-pack", &[], "git", "git"),
        ("GET /org/repo/info%2frefs?service=git-upload-pack", &[], "git", "git"),
        ("GET /org/repo/info/%72efs?service=git-upload-pack", &[], "git", "git"),
        ("GET /org/repo/info/refs/?service=git-upload-pack", &[], "git", "git"),
        ("GET /org/repo/INFO/refs?service=git-upload-pack", &[], "git", "git"),
        ("HEAD /org/repo/info/refs?service=git-upload-pack", &[], "git", "git"),
        ("POST /org/repo/info/refs?service=git-upload-pack", &[], "git", "git"),
        ("GET /org/repo/git-upload-pack", &[], "git", "git"),
        ("GET /org/repo/HEAD", &[], "git", "git"),
        ("GET /org/repo/objects/info/packs", &[], "git", "git"),
        ("GET /org/repo", &[], "git", "git"),
        ("GET /org/repo/archive/main.tar.gz", &[], "git", "git"),
        ("GET /org/repo?go-get=1", &[], "git", "git"),
        ("GET /org?a=b&go-get=1", &[], "git", "git"),
        ("POST /org/repo/git-upload-pack", &[], "git", "git"),
        ("POST /org/repo/git-upload-pack", &[PUSH], "git", "git"),
        (
            "POST /org/repo/git-upload-pack",
            &["Content-Type: application/x-www-form-urlencoded"],
            "git",
            "git",
        ),
        ("POST /org/repo/git-upload-pack?a", &[PACK], "git", "git"),
        ("POST /org/repo/git-upload-pack/", &[PACK], "git", "git"),
        ("POST /org/repo/git-receive-pack/", &[PUSH], "git", "git"),
        ("POST /org/repo/Git-Receive-Pack", &[PUSH], "git", "git"),
        ("POST /org/repo/git-receive-pack;a", &[PUSH], "git", "git"),
        ("POST /org/repo/git-upload-pack/git-receive-pack", &[PACK], "git", "git"),
        ("POST /org/repo%2fgit-receive-pack", &[PUSH], "git", "git"),
        ("POST /org/repo/git%2dreceive-pack", &[PUSH], "git", "git"),
        ("PUT /org/repo/git-upload-pack", &[PACK], "git", "git"),
        ("DELETE /org/repo", &[], "git", "git"),
        ("PROPFIND /org/repo", &[], "git", "git"),
        // Another repository.
        ("GET /other/repo/info/refs?service=git-upload-pack", &[], "no-rule", "no-rule"),
        ("GET /organ/repo/info/refs?service=git-upload-pack", &[], "no-rule", "no-rule"),
        ("GET /org/../other/info/refs?service=git-upload-pack", &[], "path", "path"),
        ("GET /org%2f..%2fother/info/refs?service=git-upload-pack", &[], "path", "path"),
        ("POST /ORG/repo/git-upload-pack", &[PACK], "near-miss", "near-miss"),
    ] {
        assert_eq!(word(&judge(&fetch, request, fields)), by_fetch, "{request}");
        assert_eq!(word(&judge(&push, request, fields)), by_push, "{request}");
    }
}

#[test]
fn methods_beside_git_do_not_permit_a_push() {
    let rules = rules(&["h.example,git,methods=GET+HEAD+POST+PUT"]);
    for (request, expected) in [
        ("GET /org/repo/raw/a?go-get=1", "ok"),
        ("HEAD /org", "ok"),
        ("POST /org/repo/issues", "ok"),
        ("GET /org/repo/info/refs?service=git-receive-pack", "push"),
        ("POST /org/repo/git-receive-pack", "push"),
        ("POST /org/repo/git-receive-pack/", "git"),
        ("POST /org/repo/GIT-receive-pack", "git"),
        ("PUT /org/repo/git-receive-pack", "git"),
        ("POST /org/repo.git/info/lfs/objects/batch", "lfs"),
        ("POST /org/repo.git/info/lfs/objects/batch/", "lfs"),
        ("POST /org/repo.git/info/LFS/objects/Batch", "lfs"),
        ("POST /org/repo.git/info/lfs/locks/verify", "push"),
    ] {
        let fields = if request.starts_with("POST") { &[PUSH][..] } else { &[] };
        assert_eq!(word(&judge(&rules, request, fields)), expected, "{request}");
    }
}

#[test]
fn a_rule_with_lfs_permits_its_files() {
    let fetch = rules(&["h.example/org,git,lfs"]);
    let push = rules(&["h.example/org,git+push,lfs"]);
    let without = rules(&["h.example/org,git"]);
    for (request, by_fetch, by_push, by_none) in [
        ("POST /org/repo.git/info/lfs/objects/batch".to_owned(), "ok", "ok", "lfs"),
        (format!("GET /org/repo.git/info/lfs/objects/{OID}"), "ok", "ok", "lfs"),
        (format!("HEAD /org/repo.git/gitlab-lfs/objects/{OID}"), "ok", "ok", "lfs"),
        (format!("PUT /org/repo.git/gitlab-lfs/objects/{OID}/12"), "push", "ok", "push"),
        (format!("PUT /org/repo.git/info/lfs/objects/{OID}/12"), "push", "ok", "push"),
        ("POST /org/repo.git/info/lfs/verify".to_owned(), "push", "ok", "push"),
        ("POST /org/repo.git/info/lfs/locks/verify".to_owned(), "push", "ok", "push"),
        ("POST /org/repo.git/info/lfs/locks".to_owned(), "git", "git", "git"),
        (format!("PUT /org/repo.git/info/lfs/objects/{OID}"), "git", "git", "git"),
        (format!("GET /org/repo.git/info/lfs/objects/{}", OID.to_uppercase()), "git", "git", "git"),
        (format!("GET /org/repo.git/info/lfs/objects/{OID}?a"), "git", "git", "git"),
        (format!("DELETE /org/repo.git/info/lfs/objects/{OID}"), "git", "git", "git"),
        ("POST /org/repo.git/info/lfs/objects/batch?a".to_owned(), "lfs", "lfs", "lfs"),
        ("POST /org/repo.git/info/lfs/objects%2fbatch".to_owned(), "lfs", "lfs", "lfs"),
        ("PUT /org/repo.git/info/lfs/objects/batch".to_owned(), "lfs", "lfs", "lfs"),
        ("POST /other/repo.git/info/lfs/objects/batch".to_owned(), "no-rule", "no-rule", "no-rule"),
    ] {
        assert_eq!(word(&judge(&fetch, &request, &[])), by_fetch, "{request}");
        assert_eq!(word(&judge(&push, &request, &[])), by_push, "{request}");
        assert_eq!(word(&judge(&without, &request, &[])), by_none, "{request}");
    }
    let batch = judge(
        &fetch,
        "POST /org/repo/info/lfs/objects/batch",
        &["Accept-Encoding: gzip", "Content-Length: 2"],
    )
    .unwrap();
    assert_eq!(batch.body, RequestKind::LfsBatch);
    assert_eq!(batch.head.headers.all("Accept-Encoding").collect::<Vec<_>>(), [b"identity"]);
    let encoded =
        judge(&fetch, "POST /org/repo/info/lfs/objects/batch", &["Content-Encoding: gzip"]).unwrap_err();
    assert_eq!((encoded.status, encoded.reason), (415, "lfs"));
    // Under no rule does the answer go through as it is.
    let posts = rules(&["h.example,methods=POST"]);
    assert_eq!(word(&judge(&posts, "POST /org/repo/info/lfs/objects/batch", &[])), "lfs");
}

#[test]
fn the_repository_of_a_git_call_is_that_of_the_rule() {
    let rules = rules(&["h.example/org/repo/info,git"]);
    assert_eq!(word(&judge(&rules, "GET /org/repo/info/refs?service=git-upload-pack", &[])), "no-rule");
    assert_eq!(word(&judge(&rules, "GET /org/repo/info/x/info/refs?service=git-upload-pack", &[])), "ok");
}
