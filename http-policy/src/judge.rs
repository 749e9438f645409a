//! The verdict on each request: a closed table.

use http_message::{BodyLength, RequestHead, Target, Version};
use proto::http::Origin;

use crate::authority::check_authority;
use crate::call::{Call, Service, call};
use crate::method::Method;
use crate::path::Segments;
use crate::refusal::Denied;
use crate::rewrite::{check_fields, is_override_query, rewrite};
use crate::rule::{Git, Rule};
use crate::rules::{Found, Rules};
use crate::verdict::{Permitted, RequestKind, Verdict};

impl Rules {
    /// Decides about a request that came over a connection to `origin`, which is one of [`Rules::origins`].
    pub fn judge(&self, origin: &Origin, head: &RequestHead) -> Verdict {
        match self.decide(origin, head) {
            Ok(permitted) => Verdict::Forward(permitted),
            Err((rule, denied)) => {
                let rule = rule.or_else(|| self.only_of(origin));
                Verdict::Refuse(denied.refusal(rule, rule.and_then(|rule| self.get(rule)), origin, head))
            }
        }
    }

    fn decide(&self, origin: &Origin, head: &RequestHead) -> Result<Permitted, (Option<usize>, Denied)> {
        let early = |denied| (None, denied);
        let target = check_authority(origin, head).map_err(early)?;
        check_fields(head).map_err(early)?;
        let body = head.body().map_err(|error| early(Denied::Framing(error)))?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let (index, rule, segments) = self.rule_for(origin, path)?;
        let of_rule = |denied| (Some(index), denied);
        let method = head.method.parse().ok();
        let content_type = head.headers.only("Content-Type");
        let (call, own) = call(method, path, query, &segments, content_type);
        // git's own part of a path is no part of a repository's.
        if !rule.place().path().0.covers(&segments.without_last(own), rule.git != Git::None) {
            return Err(of_rule(Denied::NoRule));
        }
        let kind = permit(rule, call, method).map_err(of_rule)?;
        if query.is_some_and(is_override_query) {
            return Err(of_rule(Denied::MethodInQuery));
        }
        // Some servers do not read it, and take it for the next request.
        if matches!(method, Some(Method::Get | Method::Head)) && !body.is_empty() {
            return Err(of_rule(Denied::BodyOfGet));
        }
        if kind == RequestKind::LfsBatch && head.headers.contains("Content-Encoding") {
            return Err(of_rule(Denied::EncodedBatch));
        }
        let expects_continue = head.version == Version::Http11
            && head.headers.contains("Expect")
            && !matches!(body, BodyLength::None);
        let head = rewrite(rule, head, Target::Path(target.to_owned()), body, kind);
        Ok(Permitted { rule: index, head, body: kind, expects_continue })
    }

    /// The rule for a path, its index, and the path's segments.
    fn rule_for(
        &self,
        origin: &Origin,
        path: &str,
    ) -> Result<(usize, &Rule, Segments), (Option<usize>, Denied)> {
        let segments = if self.of(origin).any(|(_, rule)| rule.restricts_paths()) {
            Segments::parse(path)
        } else {
            // One rule for all of the origin: a path cannot be more than it permits.
            Segments::parse_any(path)
        };
        let segments = segments.map_err(|fault| (None, Denied::Path(fault)))?;
        match self.find(origin, &segments) {
            Found::Rule(index) => match self.get(index) {
                Some(rule) => Ok((index, rule, segments)),
                None => Err((None, Denied::NoRule)),
            },
            Found::NearMiss(index) => Err((Some(index), Denied::NearMiss)),
            Found::None => Err((None, Denied::NoRule)),
        }
    }
}

/// What a rule permits.
fn permit(rule: &Rule, call: Call, method: Option<Method>) -> Result<RequestKind, Denied> {
    let by_method = |otherwise| match method {
        Some(method) if rule.methods().contains(&method) => Ok(RequestKind::Plain),
        Some(_) | None => Err(otherwise),
    };
    match (call, rule.git, rule.lfs) {
        (Call::Git(Service::UploadPack), Git::Fetch | Git::Push, _) => Ok(RequestKind::Plain),
        (Call::Git(Service::ReceivePack), Git::Push, _) => Ok(RequestKind::Plain),
        (Call::Git(Service::ReceivePack), Git::Fetch, _) => Err(Denied::Push),
        (Call::LikeGit, Git::Fetch | Git::Push, _) => Err(Denied::Git),
        // The answer to a batch call has the credential with Gitea and Forgejo, and it can be compressed: under no rule
        // does it go through as it is.
        (Call::LfsBatch, Git::Fetch | Git::Push, true) => Ok(RequestKind::LfsBatch),
        (Call::LfsBatch, Git::None, _) | (Call::LfsBatch, Git::Fetch | Git::Push, false) => Err(Denied::Lfs),
        (Call::LikeLfs, Git::None | Git::Fetch | Git::Push, _) => Err(Denied::Lfs),
        (Call::LfsFetch, Git::Fetch | Git::Push, true) => Ok(RequestKind::Plain),
        (Call::LfsFetch, Git::Fetch | Git::Push, false) => by_method(Denied::Lfs),
        (Call::LfsSend, Git::Push, true) => Ok(RequestKind::Plain),
        (Call::LfsSend, Git::Push, false) => Err(Denied::Lfs),
        (Call::LfsSend, Git::Fetch, _) => Err(Denied::Push),
        (Call::GoGet, Git::Fetch | Git::Push, _) => by_method(Denied::GoGet),
        (Call::Other, Git::Fetch | Git::Push, _) => by_method(Denied::Git),
        (
            Call::Git(_) | Call::LikeGit | Call::LfsFetch | Call::LfsSend | Call::GoGet | Call::Other,
            Git::None,
            _,
        ) => by_method(Denied::Method),
    }
}

#[cfg(test)]
mod tests;
