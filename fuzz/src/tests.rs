//! The short form of fuzzing: every seed, every input that once failed, and some changes of each.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::{TARGETS, Target};

/// Changed inputs of each target, as many as take about a second in all.
const CHANGES: usize = 400;

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Runs `target`, and says with which input it failed, in the form of a Rust literal.
fn run(target: &Target, input: &[u8]) {
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    assert!(outcome.is_ok(), "{} fails with b\"{}\"", target.name, input.escape_ascii());
}

/// xorshift64: the same numbers in every run, so that a failure is one in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound.max(1)
    }

    /// One to three changes: a byte, a cut, a repetition, an insertion.
    fn changed(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut input = seed.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(input.len());
            match self.below(5) {
                0 => input.truncate(at),
                1 => input.insert(at, self.below(256).try_into().unwrap()),
                2 => drop(input.drain(at..input.len().min(at + self.below(20)))),
                3 => input.extend_from_within(at..input.len().min(at + 1 + self.below(50))),
                _ => {
                    if let Some(byte) = input.get_mut(at) {
                        *byte ^= 1 << self.below(8);
                    }
                }
            }
        }
        input
    }
}

#[test]
fn every_seed_holds() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(seeds.len() > 1, "{} has no seeds", target.name);
        seeds.iter().for_each(|seed| run(target, seed));
        run(target, &[]);
    }
}

#[test]
fn every_input_that_once_failed_holds() {
    for target in TARGETS {
        let Ok(files) = fs::read_dir(directory("regressions").join(target.name)) else { continue };
        for file in files {
            run(target, &fs::read(file.unwrap().path()).unwrap());
        }
    }
}

#[test]
fn changed_seeds_hold() {
    for target in TARGETS {
        let (seeds, mut random) = ((target.seeds)(), Random(0x5eed_5eed_5eed_5eed));
        for _ in 0..CHANGES {
            let seed = &seeds[random.below(seeds.len())];
            run(target, &random.changed(seed));
        }
    }
}

#[test]
fn each_program_is_a_target() {
    let files = fs::read_dir(directory("fuzz_targets")).unwrap();
    let mut programs: Vec<String> =
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
    programs.sort();
    let targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(programs, targets);
    for target in TARGETS {
        let program =
            fs::read_to_string(directory("fuzz_targets").join(format!("{}.rs", target.name))).unwrap();
        assert!(program.contains(&format!("secrets_bridge_fuzz::{}(data)", target.name)));
    }
}
