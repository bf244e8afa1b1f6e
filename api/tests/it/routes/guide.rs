//! `/docs`: pages with valid links that need no other server. `cli/tests/docs.rs` runs their examples.

use std::collections::BTreeSet;

use crate::test_api::{TestApi, assert_one_sentence};

/// Every target of a link on a page.
fn links(page: &str) -> Vec<&str> {
    page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn every_link_of_the_guide_leads_somewhere_below_whatever_path_it_hangs() {
    let api = TestApi::new().await;
    let (mut seen, mut waiting) = (BTreeSet::new(), vec!["docs".to_owned()]);
    while let Some(path) = waiting.pop() {
        if !seen.insert(path.clone()) || path == "openapi.json" {
            continue;
        }
        let response = api.fetch(&format!("/{path}")).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8", "{path}");
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
        let page = response.text().await.unwrap();
        for loading in ["<script", "<link", "<img", "<iframe", "@import", "url("] {
            assert!(!page.contains(loading), "{path} has {loading}");
        }
        // Resolves the links as a browser does behind a proxy with a path.
        let here = reqwest::Url::parse(&format!("http://host/below/it/{path}")).unwrap();
        for link in links(&page) {
            let target = here.join(link).unwrap();
            let below = target.path().strip_prefix("/below/it/").unwrap_or_else(|| panic!("{link} of {path} leads outside"));
            assert!(target.host_str() == Some("host"), "{link} of {path}");
            if let Some(id) = target.fragment().filter(|_| below == path) {
                assert!(page.contains(&format!("id=\"{id}\"")), "{link} of {path}");
            }
            waiting.push(below.to_owned());
        }
    }
    assert!(seen.len() >= 10, "{seen:?}");
    let (status, body) = api.get("/docs/nothing").await;
    assert_eq!(status, 404);
    assert_one_sentence(&body);
}

#[tokio::test]
async fn a_browser_gets_a_page_where_the_guide_has_none_and_a_program_a_sentence() {
    let api = TestApi::new().await;
    let ask = |accept: &str| api.request(reqwest::Method::GET, "/docs/nothing").header("accept", accept).send();
    let page = ask("text/html,application/xhtml+xml,*/*;q=0.8").await.unwrap();
    assert_eq!(page.status(), 404);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert!(page.headers().get_all("vary").iter().any(|value| value == "accept"));
    let html = page.text().await.unwrap();
    assert!(html.contains("There is no such page") && links(&html).contains(&"quick-start"), "{html}");
    let answer = ask("application/json").await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (404, &"application/json".parse().unwrap()));
}

#[tokio::test]
async fn links_to_the_guide_of_the_existing_system_lead_to_ours() {
    let api = TestApi::new().await;
    let links = [
        ("/docs/quickstart", "/docs/quick-start"),
        ("/docs/guide/quickstart", "/docs/quick-start"),
        ("/docs/guide/workers", "/docs/workers"),
        ("/docs/guide/nothing/of/ours", "/docs"),
    ];
    for (old, new) in links {
        let response = api.fetch(old).await;
        assert_eq!(response.status(), 308, "{old}");
        let here = reqwest::Url::parse(&format!("http://host/below/it{old}")).unwrap();
        let target = here.join(response.headers()["location"].to_str().unwrap()).unwrap();
        assert_eq!(target.path().strip_prefix("/below/it"), Some(new), "{old}");
        assert_eq!(api.fetch(new).await.status(), 200, "{new}");
    }
}
