//! `/docs`: the guide, pages for people. It is written in Markdown in `docs/` and rendered once, at the first request.
//!
//! Every `sh`, `sql` and `js` block is an example that runs as it is shown. The `text` block after it has lines that the
//! example prints. `cli/tests/docs.rs` runs all examples against a real server and worker, and does not run other blocks. Links
//! are relative, so that the pages work behind a proxy at any path.

mod links;

use std::sync::LazyLock;

use axum::body::Bytes;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::codes;
use super::page::{head, policy_of};

/// The style of the guide: that of the API's reference, and the rules in which the guide differs.
const STYLE: &str = concat!(include_str!("../page.css"), include_str!("guide.css"));

/// Name in the address, and text. The order is the reading order.
const PAGES: [(&str, &str); 17] = [
    ("quick-start", include_str!("../../../../docs/quick-start.md")),
    ("job-definition", include_str!("../../../../docs/job-definition.md")),
    ("building-images", include_str!("../../../../docs/building-images.md")),
    ("ends", include_str!("../../../../docs/ends.md")),
    ("rest", include_str!("../../../../docs/rest.md")),
    ("errors", include_str!("../../../../docs/errors.md")),
    ("sockets", include_str!("../../../../docs/sockets.md")),
    ("workers", include_str!("../../../../docs/workers.md")),
    ("worker-reference", include_str!("../../../../docs/worker-reference.md")),
    ("isolation", include_str!("../../../../docs/isolation.md")),
    ("clusters", include_str!("../../../../docs/clusters.md")),
    ("operations", include_str!("../../../../docs/operations.md")),
    ("sql", include_str!("../../../../docs/sql.md")),
    ("metaframe", include_str!("../../../../docs/metaframe.md")),
    ("agents", include_str!("../../../../docs/agents.md")),
    ("agent-session", include_str!("../../../../docs/agent-session.md")),
    ("compatibility", include_str!("../../../../docs/compatibility.md")),
];

/// The guide's pages.
pub(crate) struct Guide {
    pages: Vec<(&'static str, Bytes)>,
    /// The page at `/docs`, with the contents.
    pub(crate) contents: Bytes,
    /// The answer for every other name below `/docs`.
    pub(crate) missing: Bytes,
    /// The content policy of the pages: they may load only their own style.
    pub(crate) policy: String,
    /// Name, title, first paragraph and Markdown of each page, for programs.
    pub(crate) sources: Vec<Source>,
}

/// A page as programs read it.
pub(crate) struct Source {
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) lead: String,
    pub(crate) text: String,
}

impl Guide {
    /// The Markdown of a page by its name.
    pub(crate) fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.name == name)
    }

    /// A page by its name.
    pub(crate) fn page(&self, name: &str) -> Option<Bytes> {
        self.pages.iter().find(|(known, _)| *known == name).map(|(_, html)| html.clone())
    }
}

/// The guide of this program.
pub(crate) static GUIDE: LazyLock<Guide> = LazyLock::new(|| {
    let chapters: Vec<Chapter> = PAGES.iter().map(|(name, text)| Chapter::read(name, text)).collect();
    let pages = chapters.iter().map(|chapter| (chapter.name, page(chapter, &chapters).into_string().into())).collect();
    let [contents, missing] = [contents(&chapters), missing(&chapters)].map(|page| page.into_string().into());
    let source = |(chapter, (name, text)): (&Chapter, &(&'static str, &str))| Source {
        name,
        title: chapter.title.clone(),
        lead: chapter.lead.clone(),
        text: prepared(text),
    };
    let sources = chapters.iter().zip(&PAGES).map(source).collect();
    Guide { pages, contents, missing, policy: policy_of(STYLE), sources }
});

/// Makes a table or list of the program's facts, in Markdown.
type Table = fn() -> String;

/// The text of a page with the program's facts filled in, and without links to files outside the guide.
fn prepared(text: &str) -> String {
    links::within(&with_tables(text), |name| PAGES.iter().any(|(page, _)| *page == name))
}

/// The text of a page with the program's facts filled in.
fn with_tables(text: &str) -> String {
    let tables: [(&str, Table); 4] = [
        ("<!-- end codes -->", end_codes),
        ("<!-- error codes -->", codes::table),
        ("<!-- agent facts -->", agent_facts),
        ("<!-- agent tools -->", agent_tools),
    ];
    tables.into_iter().fold(
        text.to_owned(),
        |text, (place, table)| {
            if text.contains(place) { text.replace(place, &table()) } else { text }
        },
    )
}

/// The facts that an agent gets when it connects, as a list.
fn agent_facts() -> String {
    let facts = crate::mcp::INSTRUCTIONS.lines().skip_while(|line| !line.starts_with("1. "));
    facts.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn agent_tools() -> String {
    let mut table = "| tool | what it does |\n|---|---|\n".to_owned();
    for (name, about) in crate::mcp::names() {
        table += &format!("| `{name}` | {about} |\n");
    }
    table
}

/// A parsed page.
struct Chapter {
    name: &'static str,
    title: String,
    /// The first paragraph, for the contents.
    lead: String,
    /// Id and text of each heading below the title.
    sections: Vec<(String, String)>,
    html: String,
}

impl Chapter {
    fn read(name: &'static str, text: &str) -> Self {
        let text = prepared(text);
        let events = Parser::new_ext(&text, Options::ENABLE_TABLES).map(harmless).map(links::to_page);
        let mut events: Vec<Event<'_>> = events.collect();
        let title = text_of(&events, |tag| matches!(tag, Tag::Heading { level: HeadingLevel::H1, .. })).unwrap_or_default();
        let lead = text_of(&events, |tag| matches!(tag, Tag::Paragraph)).unwrap_or_default();
        let sections = name_headings(&mut events);
        let mut html = String::new();
        pulldown_cmark::html::push_html(&mut html, events.into_iter());
        // Elements that may be wider than the screen can also be scrolled with the keyboard.
        let html = html.replace("<pre>", "<pre tabindex=\"0\">").replace("<table>", "<table tabindex=\"0\">");
        Self { name, title, lead, sections, html }
    }
}

/// The table of end codes, in Markdown. It is made from the program's own list, so no code is missing.
fn end_codes() -> String {
    let mut table = "| code | fault | meaning |\n|---|---|---|\n".to_owned();
    for code in protocol::EndCode::ALL {
        table += &format!("| `{code}` | {} | {} |\n", code.fault().as_str(), code.meaning());
    }
    table
}

/// Turns raw HTML into text, so that a page has only HTML that is made here.
fn harmless(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        other => other,
    }
}

/// The text of the first element of a kind.
fn text_of(events: &[Event<'_>], is_it: impl Fn(&Tag<'_>) -> bool) -> Option<String> {
    let start = events.iter().position(|event| matches!(event, Event::Start(tag) if is_it(tag)))?;
    Some(words(&events[start + 1..]))
}

/// The text up to the end of the current element.
fn words(events: &[Event<'_>]) -> String {
    let is_end = |event: &&Event<'_>| matches!(event, Event::End(TagEnd::Heading(_) | TagEnd::Paragraph));
    let inside = events.iter().take_while(|event| !is_end(event));
    let text = inside.filter_map(|event| match event {
        Event::Text(text) | Event::Code(text) => Some(text.as_ref()),
        Event::SoftBreak => Some(" "),
        _ => None,
    });
    text.collect()
}

/// Gives each heading an id made of its words. Returns the ids and texts of the headings below the title.
fn name_headings(events: &mut [Event<'_>]) -> Vec<(String, String)> {
    let mut sections = Vec::new();
    for at in 0..events.len() {
        let heading = words(&events[at + 1..]);
        if let Event::Start(Tag::Heading { level, id, .. }) = &mut events[at] {
            let name = slug(&heading);
            *id = Some(CowStr::from(name.clone()));
            if *level == HeadingLevel::H2 {
                sections.push((name, heading));
            }
        }
    }
    sections
}

fn slug(heading: &str) -> String {
    let words = heading.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

fn page(chapter: &Chapter, all: &[Chapter]) -> Markup {
    let at = all.iter().position(|one| one.name == chapter.name).unwrap_or_default();
    let next = all.get(at + 1);
    let main = html! {
        (PreEscaped(&chapter.html))
        p.next { @if let Some(next) = next { "Next: " a href=(next.name) { (next.title) } } @else { "Next: " a href="api" { "API reference" } } }
    };
    frame(&chapter.title, "", Some(chapter), all, &main)
}

fn contents(all: &[Chapter]) -> Markup {
    let main = html! {
        h1 { "Asman" }
        p { "Compute queues for container jobs. Anyone who knows a queue's name can send it jobs. Any worker that serves the name runs them." }
        @for chapter in all {
            h2 { a href={ "docs/" (chapter.name) } { (chapter.title) } }
            p { (chapter.lead) }
        }
        h2 { a href="docs/api" { "API reference" } }
        p { "Every route with its parameters, bodies and answers; for programs as " a href="openapi.json" { "openapi.json" } "." }
    };
    frame("Asman", "docs/", None, all, &main)
}

fn missing(all: &[Chapter]) -> Markup {
    let main = html! {
        h1 { "There is no such page" }
        p { "The " a href="../docs" { "contents" } " name every page of this documentation." }
    };
    frame("No such page", "", None, all, &main)
}

/// A whole page. `base` leads to the guide's folder.
fn frame(title: &str, base: &str, current: Option<&Chapter>, all: &[Chapter], main: &Markup) -> Markup {
    let home = if base.is_empty() { "../docs" } else { "docs" };
    let title = if current.is_some() { format!("{title} - Asman") } else { title.to_owned() };
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&title, STYLE))
            body {
                nav aria-label="Documentation" {
                    a.head href=(home) aria-current=[current.is_none().then_some("page")] { "Asman" }
                    @for chapter in all {
                        @let is_current = current.is_some_and(|one| one.name == chapter.name);
                        div {
                            a.head href={ (base) (chapter.name) } aria-current=[is_current.then_some("page")] { (chapter.title) }
                            @if is_current {
                                @for (id, heading) in &chapter.sections { a.entry href={ "#" (id) } { (heading) } }
                            }
                        }
                    }
                    a.head href={ (base) "api" } { "API reference" }
                }
                main { (main) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_ends_has_every_code() {
        let ends = PAGES.iter().find(|(name, _)| *name == "ends").map(|(name, text)| Chapter::read(name, text)).unwrap();
        for code in protocol::EndCode::ALL {
            assert!(ends.html.contains(&format!("<code>{code}</code>")), "{code}");
        }
    }

    #[test]
    fn headings_get_ids_and_foreign_html_is_text() {
        let chapter = Chapter::read("x", "# A `b`\n\nLead\nline.\n\n## By hand\n\n<script>x</script>\n\n| a |\n|---|\n| 1 |\n");
        assert_eq!((chapter.title.as_str(), chapter.lead.as_str()), ("A b", "Lead line."));
        assert_eq!(chapter.sections, [("by-hand".to_owned(), "By hand".to_owned())]);
        assert!(
            chapter.html.contains("<h2 id=\"by-hand\">") && chapter.html.contains("<table tabindex=\"0\">"),
            "{}",
            chapter.html
        );
        assert!(!chapter.html.contains("<script>"), "{}", chapter.html);
    }
}
