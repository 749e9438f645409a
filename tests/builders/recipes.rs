//! The recipes of docs/RECIPES.md, which tests run as they stand there, but for the names of hosts.

const DOCUMENT: &str = include_str!("../../docs/RECIPES.md");

/// What one of them says to type.
pub struct Recipe {
    /// On the host.
    host: String,
    /// In the Dockerfile.
    pub steps: String,
}

impl Recipe {
    /// The first two examples under this heading.
    pub fn of(heading: &str) -> Self {
        let (_, section) = DOCUMENT.split_once(&format!("\n## {heading}\n")).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let example = |language: &str| {
            let (_, example) = section.split_once(&format!("\n```{language}\n")).unwrap();
            example.split_once("```").unwrap().0.to_owned()
        };
        Self { host: example("sh"), steps: example("dockerfile") }
    }

    /// With `to` in the place of `from`, which stands there.
    #[must_use]
    pub fn with(self, from: &str, to: &str) -> Self {
        assert!(self.host.contains(from) || self.steps.contains(from), "the recipe does not say {from}");
        Self { host: self.host.replace(from, to), steps: self.steps.replace(from, to) }
    }

    /// The steps as they would be if the server were not private.
    pub fn steps_without_exec(&self) -> String {
        let (before, rest) = self.steps.split_once("secrets-bridge exec").unwrap();
        format!("{before}{}", rest.split_once("-- ").unwrap().1)
    }

    /// The options that it gives to `run`.
    pub fn run_options(&self) -> Vec<&str> {
        let words = self.host.split_whitespace().filter(|word| *word != "\\");
        words.skip_while(|word| *word != "run").skip(1).take_while(|word| *word != "--").collect()
    }
}
