//! The decoders of this crate for the fuzzers (see [`limosa_core::fuzzing`]): the link to a manifest, identities, certificates, bundles.

use std::path::Path;

use limosa_core::fuzzing::Target;

use crate::manifest_link::fuzzing as link;
use crate::pki::{Bundle, Cluster, Identity, identity_of};

/// Every target of this crate. What is kept of certificates and bundles was made once: keys are random.
pub const TARGETS: &[Target] = &[
    // What came of a message vouches for a piece of it; one call has a runtime of its own here.
    Target::new("node_manifest_call", link::call, link::calls).allowed(1 << 20, 256),
    Target::new("node_manifest_answer", link::answer, link::answers).allowed(1 << 20, 256),
    Target::new("node_identity", identity, identities),
    Target::new("node_certificate", certificate, Vec::new),
    Target::new("node_bundle", bundle, Vec::new).allowed(1 << 20, 256),
    Target::new("node_cluster_secret", secret, secrets),
];

fn identity(uri: &[u8]) {
    let Some(identity) = std::str::from_utf8(uri).ok().and_then(|uri| uri.parse::<Identity>().ok()) else { return };
    assert_eq!(identity.to_string().as_bytes(), uri, "an identity has one text");
}

fn identities() -> Vec<Vec<u8>> {
    vec![format!("limosa://{}/node/n1", "a5".repeat(16)).into_bytes()]
}

fn certificate(der: &[u8]) {
    drop(identity_of(der));
}

fn bundle(pem: &[u8]) {
    drop(Bundle::parse(Path::new("bundle.pem"), pem));
}

fn secret(bytes: &[u8]) {
    let Some(cluster) = Cluster::decode(bytes) else { return };
    assert_eq!(cluster.encode(), bytes);
}

fn secrets() -> Vec<Vec<u8>> {
    vec![Cluster::fixed([7; 16], [9; 32]).encode()]
}
