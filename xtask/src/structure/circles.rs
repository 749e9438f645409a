//! Files that import from one another in a circle.

use std::collections::HashMap;

use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;

use super::imports::Imports;

/// Each circle as its files, sorted.
pub(super) fn circles(imports: &Imports) -> Vec<Vec<String>> {
    let mut graph = DiGraph::<&str, ()>::new();
    let nodes: HashMap<&str, _> =
        imports.0.keys().map(|file| (file.as_str(), graph.add_node(file.as_str()))).collect();
    for (file, targets) in &imports.0 {
        for target in targets {
            if let (Some(&from), Some(&to)) = (nodes.get(file.as_str()), nodes.get(target.as_str())) {
                graph.add_edge(from, to, ());
            }
        }
    }
    let mut circles: Vec<Vec<String>> = tarjan_scc(&graph)
        .into_iter()
        .filter(|component| component.len() > 1)
        .map(|component| {
            let mut files: Vec<String> = component.into_iter().map(|node| graph[node].to_owned()).collect();
            files.sort_unstable();
            files
        })
        .collect();
    circles.sort();
    circles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_import_from_one_another_are_a_circle() {
        let edges = [("a", vec!["b"]), ("b", vec!["c"]), ("c", vec!["b"]), ("d", vec!["a"])];
        let owned = |(file, targets): (&str, Vec<&str>)| {
            (file.to_owned(), targets.into_iter().map(ToOwned::to_owned).collect())
        };
        assert_eq!(circles(&Imports(edges.into_iter().map(owned).collect())), [["b", "c"]]);
    }
}
