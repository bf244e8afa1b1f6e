//! Many clients that read large answers, while a queue does everything else that it must.

use std::time::Duration;

use crate::test_api::TestApi;

/// Much shorter than it takes on a busy machine to read all results one after another.
const SUBMIT_DEADLINE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn twenty_readers_of_a_large_result_leave_submissions_alone() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    let line = "x".repeat(1_000) + "\n";
    let lines = [line.as_str(); 100];
    for seq in 0..100 {
        assert_eq!(api.log(&id, epoch, seq, "Running", &lines).await, 200);
    }
    assert_eq!(api.finish(&id, epoch).await, 200);
    let path = format!("/q/q/j/{id}/result.json");
    let read = async || {
        let response = api.fetch(&path).await;
        (response.status().as_u16(), response.bytes().await.unwrap().len())
    };
    let readers = futures_util::future::join_all((0..20).map(|_| read()));
    let submissions = async {
        for n in 2..40 {
            tokio::time::timeout(SUBMIT_DEADLINE, api.submit("other", n)).await.expect("a submission beside readers");
        }
    };
    let (answers, ()) = tokio::join!(readers, submissions);
    assert!(answers.iter().all(|(status, length)| *status == 200 && *length > 500_000), "{answers:?}");
}
