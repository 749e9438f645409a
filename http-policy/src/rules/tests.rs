use super::*;
use crate::testing::{origin, rules};

fn find(rules: &Rules, path: &str) -> Found {
    rules.find(&origin("h.example:443"), &Segments::parse(path).unwrap())
}

#[test]
fn the_longest_match_wins() {
    let rules = rules(&["h.example", "h.example/org", "h.example/org/secret", "h.example:8443/org"]);
    for (path, index) in [
        ("/", 0),
        ("/other", 0),
        ("/organization", 0),
        ("/a/org", 0),
        ("/org", 1),
        ("/org/", 1),
        ("/o%72g/a", 1),
        ("/org/secrets", 1),
        ("/org/secret", 2),
        ("/org%2fsecret/a", 2),
    ] {
        assert_eq!(find(&rules, path), Found::Rule(index), "{path}");
    }
}

#[test]
fn what_a_server_could_take_for_a_longer_match_has_no_rule() {
    let rules = rules(&["h.example", "h.example/org/secret", "h.example/with.git", "h.example/My%20Project"]);
    for (path, rule) in [
        ("/ORG/secret", 1),
        ("/org/Secret/a", 1),
        ("/org/SECRET%2fa", 1),
        ("/org/secret.git", 1),
        ("/org/secret.GIT/a", 1),
        ("/org/Secret.git.git", 1),
        ("/org.git/secret", 1),
        ("/org;v=1/secret", 1),
        ("/org/secret;a", 1),
        ("/org/secret::$DATA", 1),
        ("/org/\u{17f}ecret", 1), // upper case of the long s is S
        ("/org/\u{ff53}ecret", 1),
        ("/with", 2),
        ("/With.git", 2),
        ("/my+project/a", 3),
    ] {
        assert_eq!(find(&rules, path), Found::NearMiss(rule), "{path}");
    }
    // No other rule could be meant.
    assert_eq!(find(&rules, "/org/secrets"), Found::Rule(0));
    assert_eq!(find(&rules, "/secret"), Found::Rule(0));
}

#[test]
fn a_final_git_does_not_count_in_git_rules() {
    let rules = rules(&["h.example/org/repo,git", "h.example/org/other.git,git", "h.example/plain"]);
    for path in ["/org/repo", "/org/repo.git", "/org/repo/info/refs", "/org/repo.git/info/refs"] {
        assert_eq!(find(&rules, path), Found::Rule(0), "{path}");
    }
    for path in ["/org/other", "/org/other.git/info/refs"] {
        assert_eq!(find(&rules, path), Found::Rule(1), "{path}");
    }
    for path in ["/org/repo.git.git", "/org.git/repo", "/org/repo.GIT"] {
        assert_eq!(find(&rules, path), Found::NearMiss(0), "{path}");
    }
    assert_eq!(find(&rules, "/plain.git"), Found::NearMiss(2));
    assert_eq!(find(&rules, "/org"), Found::None);
    assert_eq!(find(&rules, "/org/repository"), Found::None);
    assert_eq!(find(&rules, "/org/repo2.git"), Found::None);
}

#[test]
fn two_rules_for_the_same_paths_are_refused() {
    let new = |texts: [&str; 2]| Rules::new(texts.map(crate::testing::rule).to_vec()).map(|_| ());
    for texts in [
        ["h.example", "H.example:443/"],
        ["h.example/a", "h.example/%61/"],
        ["h.example/org", "h.example/Org"],
        ["h.example/org/repo", "h.example/org/repo.git,git"],
        ["u@h.example", "v@h.example"],
    ] {
        assert!(matches!(new(texts), Err(RuleError::Duplicate(_, _))), "{texts:?}");
    }
    for texts in
        [["h.example", "h.example:8443"], ["h.example/a", "h.example/a/b"], ["h.example", "i.example"]]
    {
        assert_eq!(new(texts), Ok(()), "{texts:?}");
    }
}

#[test]
fn each_origin_is_listed_once() {
    let rules = rules(&["b.example,plain=pass", "a.example/x,plain=pass", "a.example/y", "b.example:444"]);
    let origins: Vec<_> =
        rules.origins().iter().map(|ruled| (ruled.origin.to_string(), ruled.plain)).collect();
    assert_eq!(
        origins,
        [
            ("b.example:443".to_owned(), true),
            ("a.example:443".to_owned(), false),
            ("b.example:444".to_owned(), false)
        ]
    );
    assert!(rules.has(&origin("a.example:443")) && !rules.has(&origin("a.example:444")));
    assert_eq!(rules.only_of(&origin("a.example:443")), None);
    assert_eq!(rules.only_of(&origin("b.example:444")), Some(3));
}

#[test]
fn there_is_a_limit_of_origins_and_rules() {
    let many = |count: usize, place: fn(usize) -> String| {
        Rules::new((0..count).map(|index| crate::testing::rule(&place(index))).collect()).map(|_| ())
    };
    assert_eq!(many(MAX_ORIGINS, |index| format!("h{index}.example")), Ok(()));
    assert_eq!(many(MAX_ORIGINS + 1, |index| format!("h{index}.example")), Err(RuleError::Origins));
    assert_eq!(many(MAX_RULES + 1, |index| format!("h.example/{index}")), Err(RuleError::Rules));
}
