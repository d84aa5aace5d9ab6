//! Which crate may depend on which: arrows point one way.

use super::Context;
use crate::workspace::Metadata;

/// Each crate with those that it may use, from the core outwards.
const ARROWS: &[(&str, &[&str])] = &[
    ("limosa-core", &[]),
    ("limosa-wire", &["limosa-core"]),
    ("limosa-tree", &["limosa-core"]),
    ("limosa-engine", &["limosa-core", "limosa-wire"]),
    ("limosa-store", &["limosa-core", "limosa-tree"]),
    ("limosa-manifest", &["limosa-core"]),
    ("limosa-carry", &["limosa-core", "limosa-wire", "limosa-engine", "limosa-store"]),
    ("limosa-sim", &["limosa-core", "limosa-wire", "limosa-tree", "limosa-engine", "limosa-store", "limosa-carry"]),
    ("limosa-node", &["limosa-core", "limosa-wire", "limosa-tree", "limosa-engine", "limosa-store", "limosa-carry", "limosa-manifest"]),
    ("limosa-server", &["limosa-core", "limosa-wire", "limosa-tree", "limosa-engine", "limosa-store", "limosa-manifest", "limosa-node"]),
    (
        "limosa-cli",
        &["limosa-core", "limosa-wire", "limosa-tree", "limosa-engine", "limosa-store", "limosa-manifest", "limosa-node", "limosa-server"],
    ),
    ("limosa-fuzz", &["limosa-core", "limosa-wire", "limosa-tree", "limosa-store", "limosa-manifest", "limosa-node", "limosa-server"]),
    ("xtask", &[]),
];

pub(super) fn check(context: &Context) -> Result<(), String> {
    let wrong = violations(&context.metadata);
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn violations(metadata: &Metadata) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
            wrong.push(format!("{} has no row in xtask/src/ci/arrows.rs: say what it may use", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            let name = dependency.name.as_str();
            let is_dev = dependency.kind.as_deref() == Some("dev");
            let is_allowed = allowed.contains(&name) || (is_dev && !uses(name, &package.name)); // a test may use what stands beside its crate
            if !is_allowed {
                wrong.push(format!("{} must not depend on {name}: arrows point from the core outwards", package.name));
            }
        }
    }
    wrong
}

fn uses(user: &str, used: &str) -> bool {
    ARROWS.iter().any(|(name, allowed)| *name == user && allowed.contains(&used))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations_of(package: &str, dependency: &str, kind: &str) -> usize {
        let json = format!(
            r#"{{"target_directory": "/t", "packages": [{{"name": "{package}",
                "dependencies": [{{"name": "{dependency}", "path": "/p", "kind": {kind}}}]}}]}}"#
        );
        violations(&serde_json::from_str(&json).expect("valid")).len()
    }

    #[test]
    fn an_arrow_towards_the_core_is_allowed_and_the_other_way_is_not() {
        assert_eq!(violations_of("limosa-node", "limosa-core", "null"), 0);
        assert_eq!(violations_of("limosa-core", "limosa-node", "null"), 1);
        assert_eq!(violations_of("limosa-engine", "limosa-store", "null"), 1);
        assert_eq!(violations_of("limosa-new", "limosa-core", "null"), 1);
    }

    #[test]
    fn a_test_may_use_what_stands_beside_its_crate() {
        assert_eq!(violations_of("limosa-engine", "limosa-tree", "\"dev\""), 0);
        assert_eq!(violations_of("limosa-tree", "limosa-store", "\"dev\""), 1);
    }

    #[test]
    fn the_table_itself_has_no_circle() {
        for (index, (_, allowed)) in ARROWS.iter().enumerate() {
            assert!(allowed.iter().all(|used| ARROWS[..index].iter().any(|(name, _)| name == used)));
        }
    }
}
