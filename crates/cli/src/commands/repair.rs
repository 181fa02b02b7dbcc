//! `repair`: what can be mended of a damaged repository, and what is lost for good.

use plan::Result;
use plan::ids::{DataSetName, SetId};
use repository::RepairReport;
use serde::Serialize;

use crate::app::App;
use crate::args;

#[derive(Serialize)]
struct RepairDocument {
    applied: bool,
    set_aside: Vec<String>,
    put_back: Vec<String>,
    manifests_renewed: Vec<SetId>,
    packs_named: usize,
    index_files_rewritten: usize,
    chunks_saved: usize,
    lost: Vec<Lost>,
    left: Vec<String>,
}

#[derive(Serialize)]
struct Lost {
    set: SetId,
    data_set: Option<DataSetName>,
    problem: String,
}

pub(crate) fn repair(app: &App, args: &args::Repair) -> Result<()> {
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let context = app.context_alone(&config)?;
    let report = repository.repair(args.yes, &context.stop)?;
    app.output.line(&print(&report))?;
    app.output.document(&document(report))
}

fn document(report: RepairReport) -> RepairDocument {
    RepairDocument {
        applied: report.is_applied,
        set_aside: report.set_aside,
        put_back: report.put_back,
        manifests_renewed: report.manifests_renewed,
        packs_named: report.packs_named,
        index_files_rewritten: report.index_files_rewritten,
        chunks_saved: report.chunks_saved,
        lost: report.lost.into_iter().map(|(set, data_set, problem)| Lost { set, data_set, problem }).collect(),
        left: report.left,
    }
}

fn print(report: &RepairReport) -> String {
    let mut lines: Vec<_> = report.set_aside.iter().map(|what| format!("set aside  {what}")).collect();
    lines.extend(report.put_back.iter().map(|what| format!("put back   {what}")));
    lines.extend(report.manifests_renewed.iter().map(|set| format!("manifest   set {set}: stored anew, from the copy in its snapshot")));
    if report.packs_named > 0 {
        lines.push(format!("index      {} packs that no index file names, named from their own headers", report.packs_named));
    }
    if report.index_files_rewritten > 0 {
        lines.push(format!("index      {} files that name packs which are missing or damaged, written anew", report.index_files_rewritten));
    }
    if report.chunks_saved > 0 {
        lines.push(format!("save       {} chunks that are good in damaged packs, stored anew", report.chunks_saved));
    }
    for (set, data_set, what) in &report.lost {
        let which = data_set.map_or_else(|| "the whole set".to_owned(), |name| name.to_string());
        lines.push(format!("lost       set {set}, {which}: {what}"));
    }
    for set in &report.protected {
        lines.push(format!(
            "protect    set {set}: a damaged file may have been its protection, or what a run needs; `unprotect {set}` when you know better"
        ));
    }
    lines.extend(report.left.iter().map(|what| format!("left       {what}: put the file back from a copy of the repository")));
    lines.push(match (report.is_empty(), report.is_applied) {
        (true, _) => "there is nothing to repair".to_owned(),
        (false, true) => "done: what was set aside lies in the folder `damaged` of the repository".to_owned(),
        (false, false) => "nothing was touched: say --yes to do it".to_owned(),
    });
    lines.join("\n")
}
