//! `/llms.txt` and the skill for agents: the guide in the forms that agents look for. Both are made from the guide's pages, so
//! they have the same content.

use std::fmt::Write;

use super::guide::{GUIDE, Source};

/// The page that is the skill itself.
const PAGE: &str = "agents";
/// The text by which an agent decides whether the skill is useful.
const DESCRIPTION: &str = "Run container jobs on Asman compute queues: run a command in an image on a worker, build a Dockerfile, \
    follow logs, fetch outputs. Use it when work needs another machine, a GPU, an isolated container or a shared queue.";
/// Address of the server in the guide's examples.
const EXAMPLE_ROOT: &str = "http://localhost:8000";
const INSTALLER: &str = include_str!("install.sh");

/// The list of the pages.
pub(crate) fn llms(root: &str) -> String {
    let mut text =
        "# Asman\n\n> Compute queues for container jobs. Anyone who knows a queue's name can send it jobs; any worker that serves \
        the name runs them, streams their logs and returns their output files.\n\n"
            .to_owned();
    text += &format!(
        "Agents have tools at {root}/mcp (Model Context Protocol) and a skill at {root}/docs/skill/install.sh.\n\n## Guide\n\n"
    );
    for Source { name, title, lead, .. } in &GUIDE.sources {
        let _ = writeln!(text, "- [{title}]({root}/docs/{name}.md): {lead}");
    }
    text + &format!("\n## Reference\n\n- [OpenAPI]({root}/openapi.json): every route with its parameters, bodies and answers.\n")
}

/// A file of the skill by its path. `root` is the address of this server: it replaces the one in the guide's examples.
pub(crate) fn file(path: &str, root: &str) -> Option<String> {
    let path = path.strip_prefix("asman/")?;
    if path == "SKILL.md" {
        return GUIDE.source(PAGE).map(|source| of_page(source, root));
    }
    let name = path.strip_prefix("references/")?.strip_suffix(".md")?;
    GUIDE.source(name).filter(|source| source.name != PAGE).map(|source| linked(&source.text, "", "../SKILL.md", root))
}

/// The skill, made from its page.
fn of_page(source: &Source, root: &str) -> String {
    let body = linked(&source.text, "references/", "SKILL.md", root);
    // The description is quoted, because in YAML a colon with a space would start a value.
    format!("---\nname: asman\ndescription: \"{DESCRIPTION}\"\n---\n\n{body}")
}

/// Turns links between pages into links between the skill's files, and all other links and addresses into those of this server.
fn linked(text: &str, folder: &str, skill: &str, root: &str) -> String {
    let text = GUIDE.sources.iter().fold(text.to_owned(), |text, Source { name, .. }| {
        let target = if *name == PAGE { skill.to_owned() } else { format!("{folder}{name}.md") };
        text.replace(&format!("]({name}.md"), &format!("]({target}"))
    });
    let text = text.replace("](api)", &format!("]({root}/docs/api)")).replace("](api#", &format!("]({root}/docs/api#"));
    text.replace("](../openapi.json)", &format!("]({root}/openapi.json)")).replace(EXAMPLE_ROOT, root)
}

/// The script that puts the skill into a folder.
pub(crate) fn installer(root: &str) -> String {
    let references = GUIDE.sources.iter().filter(|source| source.name != PAGE).map(|source| source.name);
    INSTALLER.replace("@ROOT@", root).replace("@REFERENCES@", &references.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "https://asman.example";

    #[test]
    fn the_skill_has_a_head_teaches_the_facts_and_links_to_files_that_it_has() {
        let skill = file("asman/SKILL.md", ROOT).unwrap();
        assert!(skill.starts_with("---\nname: asman\ndescription: \"Run container"), "{skill}");
        for fact in [
            "stored result",
            "NONCE",
            "two caches",
            "exit code",
            "Submitting is not running",
            "only key",
            "/inputs",
            "built on the worker",
        ] {
            assert!(skill.contains(fact), "{fact}");
        }
        assert!(!skill.contains(EXAMPLE_ROOT) && skill.contains(ROOT), "{skill}");
        let pages = ["SKILL.md", "references/rest.md", "references/quick-start.md", "references/workers.md"];
        for page in pages {
            check_links(page);
        }
        assert!(file("asman/references/agents.md", ROOT).is_none());
        assert!(file("asman/references/../SKILL.md", ROOT).is_none());
    }

    /// Every relative link leads to a file of the skill.
    fn check_links(page: &str) {
        let text = file(&format!("asman/{page}"), ROOT).unwrap();
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let targets: Vec<&str> = targets.map(|target| target.split('#').next().unwrap_or_default()).collect();
        assert!(!targets.is_empty(), "{page}");
        for target in targets.into_iter().filter(|target| !target.is_empty() && !target.contains("://")) {
            let path = match target.strip_prefix("../") {
                Some(above) => above.to_owned(),
                None if folder.is_empty() => target.to_owned(),
                None => format!("{folder}/{target}"),
            };
            assert!(file(&format!("asman/{path}"), ROOT).is_some(), "{target} of {page}");
        }
    }
}
