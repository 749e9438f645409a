//! All rules of a bridge, and which of them is for a path.

use proto::http::{Origin, RuledOrigin};
use proto::limits::MAX_ORIGINS;

use crate::path::Segments;
use crate::rule::{Git, MAX_RULES, Plain, Rule, RuleError};

/// All rules of a bridge.
#[derive(Debug, Clone, Default)]
pub struct Rules(Vec<Rule>);

/// Which rule is for a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// The rule with the longest path that covers it.
    Rule(usize),
    /// A server could take it for a path of this rule, and it is none as it stands.
    NearMiss(usize),
    None,
}

impl Rules {
    /// # Errors
    /// [`RuleError`]: options that do not fit together, two rules for the same paths, too many rules.
    pub fn new(rules: Vec<Rule>) -> Result<Self, RuleError> {
        if rules.len() > MAX_RULES {
            return Err(RuleError::Rules);
        }
        for (index, rule) in rules.iter().enumerate() {
            rule.check()?;
            let (place, path) = (rule.place(), &rule.place().path().0);
            let is_same = |other: &&Rule| {
                let other = other.place();
                let same_length = other.path().0.len() == path.len();
                other.origin() == place.origin() && same_length && path.could_cover(&other.path().0)
            };
            if let Some(other) = rules.iter().take(index).find(is_same) {
                return Err(RuleError::Duplicate(other.to_string(), rule.to_string()));
            }
        }
        let rules = Self(rules);
        if rules.origins().len() > MAX_ORIGINS { Err(RuleError::Origins) } else { Ok(rules) }
    }

    /// The origins of the rules, each once, in the order of the rules. Plain requests pass if all rules of the origin say
    /// so.
    pub fn origins(&self) -> Vec<RuledOrigin> {
        let mut origins: Vec<RuledOrigin> = Vec::new();
        for rule in &self.0 {
            let plain = rule.plain == Plain::Pass;
            match origins.iter_mut().find(|known| known.origin == *rule.place().origin()) {
                Some(known) => known.plain &= plain,
                None => origins.push(RuledOrigin { origin: rule.place().origin().clone(), plain }),
            }
        }
        origins
    }

    /// The rule with this index, in the order in which they were given.
    pub fn get(&self, index: usize) -> Option<&Rule> {
        self.0.get(index)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is a rule for this origin.
    pub fn has(&self, origin: &Origin) -> bool {
        self.of(origin).next().is_some()
    }

    pub(crate) fn of<'a>(&'a self, origin: &'a Origin) -> impl Iterator<Item = (usize, &'a Rule)> {
        self.0.iter().enumerate().filter(move |(_, rule)| rule.place().origin() == origin)
    }

    /// The only rule of an origin: what is refused before a rule was found counts for it.
    pub(crate) fn only_of(&self, origin: &Origin) -> Option<usize> {
        let mut rules = self.of(origin);
        let (index, _) = rules.next()?;
        rules.next().is_none().then_some(index)
    }

    /// The rule for a path: the longest match. A path that a server could take for one of a longer rule is not the shorter
    /// rule's.
    pub(crate) fn find(&self, origin: &Origin, path: &Segments) -> Found {
        let length = |rule: &Rule| rule.place().path().0.len();
        let covers = |rule: &Rule| rule.place().path().0.covers(path, rule.git != Git::None);
        let best = self.of(origin).filter(|(_, rule)| covers(rule)).max_by_key(|(_, rule)| length(rule));
        let is_longer = |rule: &Rule| best.is_none_or(|(_, best)| length(rule) > length(best));
        let near =
            self.of(origin).find(|(_, rule)| is_longer(rule) && rule.place().path().0.could_cover(path));
        match (best, near) {
            (_, Some((near, _))) => Found::NearMiss(near),
            (Some((best, _)), None) => Found::Rule(best),
            (None, None) => Found::None,
        }
    }
}

#[cfg(test)]
mod tests;
