//! `limosa cert issue`: the one file with which another node joins.

use std::path::PathBuf;

use limosa_node::pki::Pki;
use serde::Serialize;

use crate::args::CertIssue;
use crate::error::{CliError, Exit};
use crate::output;

#[derive(Serialize)]
struct Issued {
    node: String,
    cluster: String,
    file: PathBuf,
}

pub(crate) fn issue(args: &CertIssue) -> Result<Exit, CliError> {
    let bundle = Pki::load(&args.data)?.issue(&args.node)?;
    let file = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.pem", args.node)));
    bundle.write(&file)?;
    if args.json {
        output::json(&Issued { node: args.node.to_string(), cluster: bundle.cluster().to_string(), file })?;
    } else {
        let shown = file.display();
        output::print(&format!(
            "{shown}: joins cluster {} as node {}; keep it secret\n\
             next: on that machine, limosa serve --bundle {shown} and, for a standby of one owner, --standby-of HOST:7601;\n      \
             for a member of a cluster, --cluster {} --manifest and the address of its manifest\n",
            bundle.cluster(),
            args.node,
            bundle.cluster(),
        ))?;
    }
    Ok(Exit::Yes)
}
