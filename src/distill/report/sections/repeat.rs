//! Everything that is needed to do it again.

use std::path::Path;

use super::{Section, table::folded};
use crate::{
    distill::{
        evaluate::ModelReport,
        report::{
            folder::{RunFiles, RunFolder},
            markup::Markup,
        },
        shell::quoted,
    },
    model::bundle::Provenance,
};

/// What a run tells of its making, whatever its task.
pub(super) struct Origin<'r> {
    /// Seed and device of the experiment, where it can be read.
    pub settings: Option<(u64, &'r str)>,
    /// Where the bundle comes from; none without a bundle.
    pub provenance: Option<&'r Provenance>,
    /// Names and values that stand in for it where there is none.
    pub without_bundle: Vec<(String, String)>,
    /// Names and values besides.
    pub more: Vec<(String, String)>,
}

/// The section of a camera student's run.
pub(super) fn section(folder: &RunFolder) -> Section {
    let report = &folder.evaluation;
    let model = |model: &ModelReport| (format!("model {}", model.name), model.path.clone());
    let settings = folder.experiment.as_ref().ok();
    let origin = Origin {
        settings: settings.map(|experiment| (experiment.seed, experiment.train.device.as_str())),
        provenance: folder.bundle.as_ref().map(|bundle| &bundle.provenance),
        without_bundle: report.models.iter().map(model).collect(),
        more: report.data.iter().map(|path| ("evaluated on".to_owned(), path.clone())).collect(),
    };
    of(&folder.files, origin)
}

/// The command, what it was made with and of, and the experiment.
pub(super) fn of(files: &RunFiles, origin: Origin<'_>) -> Section {
    let written = origin.provenance.map(|provenance| provenance.config.as_str()).unwrap_or_default();
    let body = Markup::of(|html| {
        html.element("pre", &[("class", "command")], |pre| {
            pre.leaf("code", &[], &command(&files.path));
        });
        html.element("div", &[("class", "scroll")], |scroll| {
            scroll.element("table", &[("class", "facts")], |table| {
                table.element("tbody", &[], |body| {
                    for (name, value) in facts(files, origin) {
                        body.element("tr", &[], |row| {
                            row.leaf("td", &[], &name);
                            row.element("td", &[], |cell| {
                                cell.leaf("code", &[], &value);
                            });
                        });
                    }
                });
            });
        });
        if !written.is_empty() {
            html.append(&text("The experiment as it was written", written));
        }
        html.append(&text("The experiment with every default (config.yaml)", &files.config));
    });
    Section {
        id: "repeat",
        title: "Repeat it",
        how_to_read: "The same experiment on the same data with the same seed and device gives the same student. The SHA-256 sums tell \
                      whether teachers and recordings are still the same."
            .into(),
        body,
    }
}

/// The run once more, in a folder beside it.
fn command(run: &Path) -> String {
    // A path that is not absolute would start from the configuration's folder.
    let run = run.canonicalize().or_else(|_| std::path::absolute(run)).unwrap_or_else(|_| run.to_owned());
    let config = run.join("config.yaml");
    let mut again = run.into_os_string();
    again.push(".again");
    format!("distill run {} --set output={}", quoted(&config.to_string_lossy()), quoted(&again.to_string_lossy()))
}

/// Names and values, in the order they are shown.
fn facts(files: &RunFiles, origin: Origin<'_>) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    if let Some((seed, device)) = origin.settings {
        facts.push(("seed".to_owned(), seed.to_string()));
        facts.push(("device".to_owned(), device.to_owned()));
    }
    facts.extend(files.versions.iter().map(|(name, version)| (name.clone(), version.clone())));
    if let Some(origin) = origin.provenance {
        facts.extend(origin.teachers.iter().map(|t| (format!("teacher {}", t.name), format!("SHA-256 {}", t.sha256))));
        facts.extend(origin.data.iter().map(|d| (format!("data {}", d.name), format!("SHA-256 {}", d.sha256))));
    } else {
        facts.extend(origin.without_bundle);
    }
    facts.extend(origin.more);
    facts
}

/// A long text, folded away.
fn text(title: &str, text: &str) -> Markup {
    let content = Markup::of(|html| {
        html.element("pre", &[], |pre| {
            pre.leaf("code", &[], text.trim_end());
        });
    });
    folded(title, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_pasted_into_a_shell() {
        let told = command(Path::new("/nowhere/v1.2"));
        assert_eq!(told, "distill run /nowhere/v1.2/config.yaml --set output=/nowhere/v1.2.again");
        assert!(command(Path::new("runs/hall")).contains("--set output=/"), "from the folder that one is in");
        let spaced = command(Path::new("/my runs/it's"));
        assert!(spaced.starts_with("distill run '/my runs/it'\\''s/config.yaml' --set "), "{spaced}");
    }
}
