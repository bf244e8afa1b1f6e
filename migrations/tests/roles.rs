//! What users who do not own the database may read in it.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use migrations::testing::TestDatabase;
use migrations::{connect, migrate};
use tokio_postgres::Client;

/// Runs a statement as a role. Returns the refusal, or nothing if the statement succeeded.
async fn refusal(client: &Client, role: &str, statement: &str) -> Option<String> {
    client.batch_execute(&format!("set role {role}")).await.unwrap();
    let outcome = client.batch_execute(statement).await;
    client.batch_execute("reset role").await.unwrap();
    outcome.err().map(|error| error.as_db_error().unwrap().code().code().to_owned())
}

#[tokio::test]
async fn readers_read_reports_and_autoscalers_two_numbers_also_after_the_views_were_rebuilt() {
    let database = TestDatabase::new().await;
    let client = connect(&database.url).await.unwrap();
    client.batch_execute("select asman.enqueue('q', '{\"image\": \"a\"}')").await.unwrap();
    for round in ["as made", "rebuilt"] {
        for view in ["queue_depth", "waiting_time", "worker_load", "outcomes_per_day", "throughput"] {
            assert_eq!(refusal(&client, "asman_read", &format!("select * from report.{view}")).await, None, "{view} {round}");
            let denied = refusal(&client, "asman_keda", &format!("select * from report.{view}")).await;
            assert_eq!(denied.as_deref(), Some("42501"), "{view} {round}");
        }
        for role in ["asman_read", "asman_keda"] {
            let numbers =
                "do $$ begin assert report.demand('q') = 1 and report.depth('q') = 1 and report.depth('other') = 0; end $$";
            assert_eq!(refusal(&client, role, numbers).await, None, "{role} {round}");
            for table in ["queue", "webhook", "queued", "finished", "definition", "log_chunk", "worker"] {
                let denied = refusal(&client, role, &format!("select * from asman.{table}")).await;
                assert_eq!(denied.as_deref(), Some("42501"), "{role} {table} {round}");
            }
            let denied = refusal(&client, role, "select asman.enqueue('q', '{\"image\": \"b\"}')").await;
            assert_eq!(denied.as_deref(), Some("42501"), "{role} {round}");
        }
        client.batch_execute("comment on schema report is 'of another version'").await.unwrap();
        migrate(&database.url).await.unwrap();
    }
}

#[tokio::test]
async fn every_report_says_what_it_shows_and_shows_no_secret() {
    let database = TestDatabase::new().await;
    let client = connect(&database.url).await.unwrap();
    let views = "select c.relname, obj_description(c.oid, 'pg_class') from pg_class c \
                 where c.relnamespace = 'report'::regnamespace and c.relkind in ('v', 'm')";
    let rows = client.query(views, &[]).await.unwrap();
    assert!(rows.len() >= 5);
    for row in rows {
        let (view, comment): (String, Option<String>) = (row.get(0), row.get(1));
        assert!(comment.is_some_and(|comment| comment.len() > 20), "{view} has no comment");
    }
    let secrets = "select count(*) from information_schema.view_column_usage where view_schema = 'report' \
                   and (table_name = 'webhook' or column_name ~ 'token|secret|payload|url')";
    assert_eq!(client.query_one(secrets, &[]).await.unwrap().get::<_, i64>(0), 0);
}
