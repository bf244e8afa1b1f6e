//! One or many migrators create the schema in an empty database, and maintenance keeps it in order.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use migrations::testing::{TestDatabase, queue_jobs, with_jobs};
use migrations::{connect, maintain, migrate, status};

#[tokio::test]
async fn ten_migrators_at_once_on_an_empty_database_all_succeed() {
    let database = TestDatabase::empty().await;
    let runs = futures_util::future::join_all((0..10).map(|_| migrate(&database.url))).await;
    let applied: Vec<usize> = runs.into_iter().map(|run| run.expect("every migrator succeeds").len()).collect();
    let all = status(&database.url).await.unwrap();
    assert!(all.iter().all(|migration| migration.applied_on.is_some()), "{all:?}");
    assert_eq!(applied.iter().sum::<usize>(), all.len(), "each file was applied once: {applied:?}");
}

#[tokio::test]
async fn status_tells_what_is_to_come_before_and_when_after() {
    let database = TestDatabase::empty().await;
    assert!(status(&database.url).await.unwrap().iter().all(|migration| migration.applied_on.is_none()));
    migrate(&database.url).await.unwrap();
    assert!(status(&database.url).await.unwrap().iter().all(|migration| migration.applied_on.is_some()));
}

#[tokio::test]
async fn views_keep_their_grants_when_nothing_changed() {
    let database = TestDatabase::new().await;
    let client = connect(&database.url).await.unwrap();
    client.batch_execute("create view public.mine as select * from report.queue_depth").await.unwrap();
    migrate(&database.url).await.unwrap();
    client.batch_execute("select * from public.mine").await.expect("the user's view still stands");
}

/// Names of the dated partitions of a table.
async fn partitions(client: &tokio_postgres::Client, parent: &str) -> Vec<String> {
    let sql = "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid \
               where i.inhparent = ('asman.' || $1)::regclass and c.relname !~ 'default' order by 1";
    client.query(sql, &[&parent]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn maintenance_makes_partitions_four_ahead_and_drops_expired_ones() {
    let database = TestDatabase::new().await;
    let client = connect(&database.url).await.unwrap();
    for parent in ["finished", "event", "log_chunk"] {
        assert_eq!(partitions(&client, parent).await.len(), 5, "{parent}");
    }
    let old = "create table asman.finished_20200106 partition of asman.finished for values from ('2020-01-06') to ('2020-01-13')";
    client.batch_execute(old).await.unwrap();
    maintain(&database.url).await.unwrap();
    maintain(&database.url).await.unwrap();
    assert_eq!(partitions(&client, "finished").await.len(), 5);
}

#[tokio::test]
async fn rows_that_found_no_partition_move_to_theirs_when_it_is_made() {
    let database = TestDatabase::new().await;
    let client = connect(&database.url).await.unwrap();
    let lost = "do $$ declare t text; begin for t in select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid \
                where i.inhparent = 'asman.event'::regclass and c.relname !~ 'default' loop execute 'drop table asman.' || t; end loop; end $$; \
                insert into asman.event (qid, job_keys, kind) values (asman.qid('q'), array[1], 'queued')";
    client.batch_execute(lost).await.unwrap();
    maintain(&database.url).await.unwrap();
    let rows = client.query_one("select count(*) from only asman.event_default", &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 0);
    let rows = client.query_one("select count(*) from asman.event", &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn a_job_that_waited_too_long_ends_and_says_why() {
    let database = TestDatabase::new().await;
    let client = connect(&database.url).await.unwrap();
    let waiting = queue_jobs("select asman.qid('q') as qid, 'old' as job_id, 7 as class, 1 as cpus, '{}' as tags")
        + "; update asman.job set queued_at = now() - interval '29 days'";
    client.batch_execute(&waiting).await.unwrap();
    maintain(&database.url).await.unwrap();
    let row = client.query_one("select reason, message from asman.finished_job where job_id = 'old'", &[]).await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("Cancelled", "it waited too long for a worker"));
}

#[tokio::test]
async fn definitions_go_when_nobody_can_refer_to_them() {
    let database = TestDatabase::new().await;
    let client = connect(&database.url).await.unwrap();
    let two = "insert into asman.definition (hash, body, used_at) values (sha256('a'), '{}', now() - interval '100 days'), (sha256('b'), '{}', now())";
    client.batch_execute(two).await.unwrap();
    maintain(&database.url).await.unwrap();
    let row = client.query_one("select count(*) from asman.definition", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn every_reporting_view_tells_of_a_job() {
    let database = TestDatabase::new().await;
    let client = connect(&database.url).await.unwrap();
    let rows = |id: &str| format!("select asman.qid('q') as qid, '{id}' as job_id, 7 as class, 2 as cpus, '{{}}' as tags");
    let job = format!(
        "{}; {} insert into asman.finished (job_key, qid, epoch, attempt, is_item, reason, queued_at, claimed_at, status_code, duration_ms) \
         select key, qid, 1, 1, false, 'Success', now() - interval '3 seconds', now() - interval '1 second', 1, 900 from jobs; \
         insert into asman.event (qid, job_keys, epochs, kind) select qid, array[key], array[1], 'claimed' from asman.job; \
         insert into asman.worker (qid, worker_id, version, executor, cpus, gpus, memory_bytes, max_seconds, tags) \
         values (asman.qid('q'), 'w', '1', 'docker', 4, 0, 0, 60, '{{}}')",
        queue_jobs(&rows("waits")),
        with_jobs(&rows("ended"))
    );
    client.batch_execute(&job).await.unwrap();
    for (view, is_told) in [
        ("queue_depth", "qid = asman.qid('q') and n_queued = 1 and n_running = 0 and cpus_wanted = 2"),
        ("waiting_time", "qid = asman.qid('q') and n_jobs = 1 and p50_seconds between 1.9 and 2.1"),
        ("throughput", "n_finished = 1 and n_success = 1"),
        ("event", "qid = asman.qid('q') and job_id = 'waits' and kind = 'claimed' and epoch = 1 and number >= 1024"),
        ("worker_load", "worker_id = 'w' and is_alive and n_running = 0"),
        ("outcomes_per_day", "reason = 'Success' and is_program_failure and n_jobs = 1"),
    ] {
        let row = client.query_one(&format!("select count(*) from report.{view} where {is_told}"), &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 1, "{view}");
    }
}

#[tokio::test]
async fn a_file_that_was_changed_after_it_was_applied_is_told_with_the_way_out() {
    let database = TestDatabase::new().await;
    let client = connect(&database.url).await.unwrap();
    client.batch_execute("update asman.migration set checksum = '1' where version = 2").await.unwrap();
    let told = migrate(&database.url).await.unwrap_err().to_string();
    assert!(
        told.contains("another V002__webhooks_namespaces_items than") && told.contains("drop the database and start again"),
        "{told}"
    );
    let newer = "update asman.migration set version = 900, name = 'later' where version = 3";
    client.batch_execute("delete from asman.migration where version = 2").await.unwrap();
    client.batch_execute(newer).await.unwrap();
    let told = migrate(&database.url).await.unwrap_err().to_string();
    assert!(told.contains("has V900__later") && told.contains("newer release"), "{told}");
}

#[tokio::test]
async fn a_login_goes_when_its_definition_is_gone() {
    let database = TestDatabase::new().await;
    let client = connect(&database.url).await.unwrap();
    let old = "insert into asman.login (hash, login, used_at) select sha256(n::text::bytea), 'x', now() - interval '2 days' \
               from generate_series(1, 2) n; insert into asman.definition (hash, body) values (sha256('1'), '{}'); \
               insert into asman.login (hash, login) values (sha256('3'), 'just now: its definition is on its way')";
    client.batch_execute(old).await.unwrap();
    maintain(&database.url).await.unwrap();
    let left = client.query("select hash = sha256('2') from asman.login", &[]).await.unwrap();
    assert!(left.len() == 2 && left.iter().all(|row| !row.get::<_, bool>(0)), "{left:?}");
}

#[tokio::test]
async fn partitions_beside_an_open_report_wait_for_it_and_nobody_waits_for_them() {
    let database = TestDatabase::new().await;
    let [reader, owner, submitter] = [(); 3].map(|()| connect(&database.url));
    let (reader, owner, submitter) = (reader.await.unwrap(), owner.await.unwrap(), submitter.await.unwrap());
    let due = "create table asman.finished_20200106 partition of asman.finished for values from ('2020-01-06') to ('2020-01-13'); \
               do $$ begin execute (select 'drop table asman.' || max(c.relname) from pg_inherits i join pg_class c on c.oid = i.inhrelid \
               where i.inhparent = 'asman.event'::regclass and c.relname !~ 'default'); end $$; \
               insert into asman.definition (hash, body, used_at) values (sha256('old'), '{}', now() - interval '100 days')";
    owner.batch_execute(due).await.unwrap();
    reader.batch_execute("begin; select count(*) from asman.finished; select count(*) from asman.event").await.unwrap();
    // The server's own clock measures the wait, so a busy machine does not count as a wait for a lock.
    submitter.batch_execute("set lock_timeout = '200ms'").await.unwrap();
    let maintaining = tokio::spawn(async move { maintain(&database.url).await.map(|()| database) });
    let mut n = 0;
    while !maintaining.is_finished() {
        n += 1;
        let submit = format!("select asman.enqueue('q', '{{\"image\": \"a\", \"command\": \"{n}\"}}')");
        submitter.batch_execute(&submit).await.expect("no lock is waited for longer than that");
    }
    let database = maintaining.await.unwrap().expect("what can be done is done");
    assert!(n > 3, "{n} submissions");
    let left = owner.query_one("select count(*) from asman.definition where hash = sha256('old')", &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 0, "the rest is done");
    assert_eq!(partitions(&owner, "finished").await.len(), 6, "the partition in use is left");
    reader.batch_execute("commit").await.unwrap();
    maintain(&database.url).await.unwrap();
    assert_eq!((partitions(&owner, "finished").await.len(), partitions(&owner, "event").await.len()), (5, 5));
}

#[tokio::test]
async fn a_step_of_maintenance_that_fails_is_told_and_the_others_are_done() {
    let database = TestDatabase::new().await;
    let client = connect(&database.url).await.unwrap();
    let broken = "create function pg_temp.fail() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$; \
                  create trigger fail before delete on asman.definition for each row execute function pg_temp.fail(); \
                  insert into asman.definition (hash, body, used_at) values (sha256('old'), '{}', now() - interval '100 days'); \
                  insert into asman.worker (qid, worker_id, version, executor, cpus, gpus, memory_bytes, max_seconds, tags, last_seen) \
                  values (asman.qid('q'), 'w', '1', 'docker', 4, 0, 0, 60, '{}', now() - interval '2 hours')";
    client.batch_execute(broken).await.unwrap();
    let told = maintain(&database.url).await.unwrap_err().to_string();
    assert!(told.contains("definitions: no"), "{told}");
    let workers = client.query_one("select count(*) from asman.worker", &[]).await.unwrap();
    assert_eq!(workers.get::<_, i64>(0), 0);
}

/// Runs a PostgreSQL program with a URL that it understands; returns its output.
fn program(name: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child =
        Command::new(name).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success(), "{name}");
    output.stdout
}

#[tokio::test]
async fn events_of_a_dump_from_a_cluster_with_greater_transaction_numbers_come_before_those_after_the_restore() {
    let (old, new) = (TestDatabase::new().await, TestDatabase::empty().await);
    let client = connect(&old.url).await.unwrap();
    // The state in a cluster that has had nine billion transactions.
    let far = "insert into asman.event (qid, job_keys, kind, message, xid) values (asman.qid('q'), array[1], 'queued', 'before', '9000000000'); \
               delete from asman.cluster; insert into asman.cluster values (1)";
    client.batch_execute(far).await.unwrap();
    let dump = program("pg_dump", &["--no-owner", &old.url], b"");
    program("psql", &["-XqAt", "-v", "ON_ERROR_STOP=1", &new.url], &dump);
    migrate(&new.url).await.unwrap();
    let client = connect(&new.url).await.unwrap();
    client
        .batch_execute(
            "insert into asman.event (qid, job_keys, kind, message) values (asman.qid('q'), array[1], 'queued', 'after')",
        )
        .await
        .unwrap();
    let shown = "select string_agg(e.message, ' ' order by e.xid, e.seq) from asman.event e \
                 where e.xid < asman.event_xid(pg_snapshot_xmin(pg_current_snapshot()))";
    // The order is final only when no older transaction of the cluster is open. Another test may have one.
    for _ in 0..500 {
        let row: Option<String> = client.query_one(shown, &[]).await.unwrap().get(0);
        if row.as_deref() == Some("before after") {
            migrate(&new.url).await.unwrap();
            let same: Option<String> = client.query_one(shown, &[]).await.unwrap().get(0);
            assert_eq!(same.as_deref(), Some("before after"), "a further migration changes nothing");
            return;
        }
        client.batch_execute("select pg_sleep(0.02)").await.unwrap();
    }
    panic!("the order of new events never becomes final");
}
