//! The recipes of docs/RECIPES.md. Tests run them unchanged, except for names of hosts and paths.

const DOCUMENT: &str = include_str!("../../docs/RECIPES.md");

/// The commands of one recipe.
pub struct Recipe {
    /// Commands on the host.
    host: String,
    /// Lines of the Dockerfile.
    pub steps: String,
}

impl Recipe {
    /// The recipe under `heading`: its first example in `sh`, and its first in `dockerfile`.
    pub fn of(heading: &str) -> Self {
        let (_, section) = DOCUMENT.split_once(&format!("\n## {heading}\n")).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let example = |language: &str| {
            let (_, example) = section.split_once(&format!("\n```{language}\n")).unwrap();
            example.split_once("```").unwrap().0.to_owned()
        };
        Self { host: example("sh"), steps: example("dockerfile") }
    }

    /// Replaces `from`, which must occur in the recipe.
    #[must_use]
    pub fn with(self, from: &str, to: &str) -> Self {
        assert!(self.host.contains(from) || self.steps.contains(from), "no {from} in the recipe");
        Self { host: self.host.replace(from, to), steps: self.steps.replace(from, to) }
    }

    /// The steps without `secrets-bridge exec`, as for a public server.
    pub fn steps_without_exec(&self) -> String {
        let (before, rest) = self.steps.split_once("secrets-bridge exec").unwrap();
        format!("{before}{}", rest.split_once("-- ").unwrap().1)
    }

    /// The options of `run`.
    pub fn run_options(&self) -> Vec<&str> {
        let words = self.host.split_whitespace().filter(|word| *word != "\\");
        words.skip_while(|word| *word != "run").skip(1).take_while(|word| *word != "--").collect()
    }
}
