//! Turns links between the files of `docs/` into links between the pages of the guide.

use pulldown_cmark::{Event, Options, Parser, Tag};

/// Turns a link to a file into a link to its page: `rest.md#files` leads to `rest#files`.
pub(super) fn to_page(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: dest_url.replacen(".md", "", 1).into(), title, id })
        }
        other => other,
    }
}

/// Removes links to files that the guide does not show from a text, and keeps their words.
pub(super) fn within(text: &str, is_page: impl Fn(&str) -> bool) -> String {
    let is_inside = |link: &str| {
        let file = link.split('#').next().unwrap_or_default();
        file.is_empty() || file.strip_suffix(".md").is_some_and(&is_page)
    };
    let parser = Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter();
    let foreign = parser.filter_map(|(event, range)| match event {
        Event::Start(Tag::Link { dest_url, .. }) if !is_inside(&dest_url) => Some(range),
        _ => None,
    });
    let mut kept = text.to_owned();
    for range in foreign.collect::<Vec<_>>().into_iter().rev() {
        let words = text[range.clone()].rsplit_once("](").map(|(words, _)| words.trim_start_matches('['));
        kept.replace_range(range, words.unwrap_or_default());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_other_files_become_words_and_links_to_pages_stay() {
        let text = "[Files](rest.md#files), [here](#x), [`.env`](../.env.sample) and [the code](../api/src/lib.rs).";
        let kept = within(text, |name| name == "rest");
        assert_eq!(kept, "[Files](rest.md#files), [here](#x), `.env` and the code.");
    }

    #[test]
    fn a_link_to_a_file_leads_to_its_page() {
        let mut html = String::new();
        pulldown_cmark::html::push_html(&mut html, Parser::new("[Files](rest.md#files)").map(to_page));
        assert_eq!(html, "<p><a href=\"rest#files\">Files</a></p>\n");
    }
}
