//! Tests of chunks.

use protocol::limits::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX, LOG_TAIL_LINES_MAX};

use super::*;

fn lines(texts: &[&str]) -> Vec<LogLine> {
    texts.iter().map(|text| LogLine { text: (*text).to_owned(), time: 0, is_stderr: false }).collect()
}

fn batch(step: Step, texts: &[&str]) -> Batch {
    Batch { step, lines: lines(texts), origin: Origin::Output }
}

fn chunk(step: Step, texts: &[&str]) -> Chunk {
    Chunk { step, lines: lines(texts) }
}

#[tokio::test]
async fn a_chunk_never_mixes_steps() {
    let (sender, waiting) = mpsc::channel(4);
    let mut chunker = Chunker::new(waiting, Progress::default());
    sender.send(batch(Step::Pull, &["p"])).await.unwrap();
    sender.send(batch(Step::Running, &["r1"])).await.unwrap();
    sender.send(batch(Step::Running, &["r2"])).await.unwrap();
    drop(sender);
    assert_eq!(chunker.next().await, Some(chunk(Step::Pull, &["p"])));
    assert_eq!(chunker.next().await, Some(chunk(Step::Running, &["r1", "r2"])));
    assert_eq!(chunker.next().await, None);
}

/// All chunks of a log of numbered lines of 16 KiB.
async fn chunked(progress: Progress, numbers: std::ops::Range<usize>) -> (Vec<String>, Progress) {
    let (sender, waiting) = mpsc::channel(4);
    let mut chunker = Chunker::new(waiting, progress);
    let writer = tokio::spawn(async move {
        for n in numbers {
            let line = format!("{n:<width$}\n", width = LOG_LINE_BYTES_MAX - 1);
            sender.send(batch(Step::Running, &[&line])).await.unwrap();
        }
    });
    let mut all = Vec::new();
    while let Some(Chunk { lines, .. }) = chunker.next().await {
        assert!(lines.iter().map(|line| line.text.len()).sum::<usize>() <= LOG_CHUNK_BYTES_MAX);
        all.extend(lines.into_iter().map(|line| line.text.trim_end().to_owned()));
    }
    writer.await.unwrap();
    (all, chunker.progress())
}

#[tokio::test]
async fn a_long_log_keeps_its_head_and_its_tail_and_counts_the_lines_between() {
    let (all, _) = chunked(Progress::default(), 0..1000).await;
    let numbers = |range: std::ops::Range<usize>| range.map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(all[..640], numbers(0..640), "10 MiB");
    assert!(all[640].contains("longer than 10 MiB"), "{}", all[640]);
    let (n_lines, n_bytes) = (1000 - 640 - 128, (1000 - 640 - 128) * LOG_LINE_BYTES_MAX);
    assert_eq!(all[641], format!("{n_lines} lines ({n_bytes} bytes) of the log are left out here"));
    assert_eq!(all[642..], numbers(872..1000), "2 MiB");
}

#[tokio::test]
async fn a_log_that_fits_in_head_and_tail_is_complete() {
    let (all, progress) = chunked(Progress::default(), 0..768).await;
    assert_eq!(all, (0..768).map(|n| n.to_string()).collect::<Vec<_>>());
    let (more, _) = chunked(progress, 768..770).await;
    assert_eq!(more, ["768", "769"], "a successor that finds the rest");
}

#[tokio::test]
async fn a_worker_that_takes_a_log_over_continues_its_counts() {
    let (sender, waiting) = mpsc::channel(4);
    let mut chunker = Chunker::new(waiting, Progress::default());
    let line = "x".repeat(LOG_LINE_BYTES_MAX - 1) + "\n";
    let sending = sender.clone();
    tokio::spawn(async move {
        for _ in 0..900 {
            sending.send(batch(Step::Running, &[&line])).await.unwrap();
        }
    });
    // The worker is killed in the middle of the log: it has stored the progress of the last chunk, which contains the opening line.
    let mut kept = Progress::default();
    while kept.gap.amount.n_lines == 0 {
        chunker.next().await.unwrap();
        kept = chunker.progress();
    }
    drop(sender);
    let passed = 640 + kept.gap.amount.n_lines;
    let (all, _) = chunked(serde_json::from_value(serde_json::to_value(kept).unwrap()).unwrap(), passed..1000).await;
    let n_lines = 1000 - 640 - 128;
    assert!(all[0].starts_with(&format!("{n_lines} lines ({} bytes)", n_lines * LOG_LINE_BYTES_MAX)), "{}", all[0]);
    assert_eq!((all.len(), all[1].as_str()), (129, "872"));
}

#[tokio::test]
async fn a_long_build_leaves_the_run_its_own_head() {
    let (sender, waiting) = mpsc::channel(4);
    let mut chunker = Chunker::new(waiting, Progress::default());
    let line = "x".repeat(LOG_LINE_BYTES_MAX - 1) + "\n";
    tokio::spawn(async move {
        for _ in 0..900 {
            sender.send(batch(Step::Build, &[&line])).await.unwrap();
        }
        sender.send(batch(Step::Running, &["run"])).await.unwrap();
    });
    let mut all = Vec::new();
    while let Some(chunk) = chunker.next().await {
        all.extend(chunk.lines.into_iter().map(|line| (chunk.step, line.text)));
    }
    assert_eq!(all.len(), 640 + 2 + 128 + 1);
    assert!(all[641].1.contains("left out here") && all[641].0 == Step::Build);
    assert_eq!(all[770], (Step::Running, "run".to_owned()));
}

#[tokio::test]
async fn lines_without_text_are_bounded_too() {
    let (sender, waiting) = mpsc::channel(4);
    let mut chunker = Chunker::new(waiting, Progress::default());
    tokio::spawn(async move {
        for _ in 0..220 {
            sender.send(batch(Step::Running, &vec![""; 10_000])).await.unwrap();
        }
    });
    let mut n_lines = 0;
    while let Some(chunk) = chunker.next().await {
        n_lines += chunk.lines.len();
    }
    assert_eq!(n_lines, LOG_LINES_MAX + LOG_TAIL_LINES_MAX + 2);
}
