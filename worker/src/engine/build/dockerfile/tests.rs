//! Tests of modern Dockerfiles.

use std::collections::HashMap;

use super::*;

fn read(text: &str) -> Result<Lowered, InvalidDockerfile> {
    lower(text, &HashMap::from([("GIVEN".to_owned(), "given".to_owned())]), &Platforms::new("linux/x86_64", None), "files:1")
}

fn lines(text: &str) -> Vec<String> {
    read(text).unwrap().text.lines().map(str::to_owned).collect()
}

#[test]
fn text_that_every_builder_reads_is_not_changed() {
    let text = "# escape=`\n# a comment\nFROM a AS b\nRUN echo `\n  # between\n\n  c && echo $((1<<2)) <<<x\nCOPY --from=b --chown=1 a b\n\
                ENV A=1 B=\"2 3\"\nCMD [\"x\"]\n";
    let read = read(text).unwrap();
    assert_eq!((read.text.as_str(), read.is_changed, read.needs.len(), read.files.len()), (text, false, 0, 0));
    assert_eq!((read.stages, read.n_stages), (vec!["b".to_owned()], 1));
}

#[test]
fn a_here_document_becomes_a_command_and_lines_keep_their_numbers() {
    let found = lines("FROM a\nRUN <<EOF\necho \"x\"\n  echo $y\nEOF\nLABEL a=b\n");
    assert_eq!(found, ["FROM a", r#"RUN ["/bin/sh","-c","echo \"x\"\n  echo $y\n"]"#, "", "", "", "LABEL a=b"]);
    let found = lines("FROM a\nSHELL [\"/bin/bash\", \"-c\"]\nRUN python3 - <<'A' && cat <<-B\nprint(1)\nA\n\tx\n\tB\n");
    assert_eq!(found[2], r#"RUN ["/bin/bash","-c","python3 - <<'A' && cat <<-B\nprint(1)\nA\n\tx\nB"]"#);
    let found = lines("FROM a\nRUN --mount=type=cache,target=/c <<-EOF\n\techo x\n\tEOF\n");
    assert_eq!(found[1], r#"RUN --mount=type=cache,target=/c ["/bin/sh","-c","echo x\n"]"#);
    let script = &lines("FROM a\nRUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF\n")[1];
    assert!(script.contains("/usr/bin/env python3") && script.contains("exit $status"), "{script}");
    assert_eq!(read("FROM a\nRUN <<EOF\nx\n").unwrap_err(), InvalidDockerfile::NoEnd { line: 2, name: "EOF".to_owned() });
}

#[test]
fn here_documents_that_are_copied_are_files_of_an_image() {
    let text = "FROM a\nARG GIVEN=default\nARG OWN=own\nENV V=\"$GIVEN x\"\n\
                COPY --link --chown=1:1 --chmod=755 <<run.sh <<'two' x.txt /d/\n#!/bin/sh\necho $V ${OWN:-no} ${NONE:-none} \\$1\nrun.sh\n$V\ntwo\n";
    let read = read(text).unwrap();
    let found: Vec<_> = read.text.lines().collect();
    assert_eq!(found[4..6], ["COPY --from=files:1 --chown=1:1 /0/run.sh /1/two /d/", "COPY --chown=1:1 --chmod=755 x.txt /d/"]);
    assert_eq!(found.len(), text.lines().count());
    assert_eq!(read.files[0].content, "#!/bin/sh\necho given x own none $1\n");
    assert_eq!((read.files[1].content.as_str(), read.files[0].mode), ("$V\n", 0o755));
    assert_eq!(read.needs, [Need { line: 5, what: "COPY --chmod".to_owned() }]);
    let alone = "FROM a\nCOPY --chmod=700 <<EOF /x\ny\nEOF\n";
    assert!(super::tests::read(alone).unwrap().needs.is_empty());
}

#[test]
fn platforms_have_their_values_in_from_and_as_arguments() {
    let text = "FROM --platform=$BUILDPLATFORM a AS b\nARG TARGETARCH\nARG TARGETOS=x\nFROM --platform=linux/arm64 c-${TARGETARCH}:$BUILDOSX\n";
    let native = read(text).unwrap();
    assert_eq!(native.text.lines().next(), Some("FROM a AS b"));
    assert_eq!(native.text.lines().last(), Some("FROM --platform=linux/arm64 c-amd64:$BUILDOSX"));
    assert_eq!(native.platform_args, HashMap::from([("TARGETARCH".to_owned(), "amd64".to_owned())]));
    let other = lower(text, &HashMap::new(), &Platforms::new("linux/amd64", Some("linux/arm/v7")), "f").unwrap();
    assert_eq!(other.text.lines().next(), Some("FROM --platform=linux/amd64 a AS b"));
    assert_eq!(other.platform_args["TARGETARCH"], "arm");
}

#[test]
fn features_of_buildkit_are_named_with_their_line_and_forbidden_flags_are_refused() {
    let found = read("FROM a\n\nRUN --mount=type=cache,target=/c x\nCOPY --chmod=1 --link a b\nADD --checksum=x a b\n").unwrap();
    let needs: Vec<_> = found.needs.iter().map(|need| (need.line, need.what.as_str())).collect();
    assert_eq!(needs, [(3, "RUN --mount"), (4, "COPY --chmod"), (5, "ADD --checksum")]);
    assert!(found.text.contains("COPY --chmod=1 a b"));
    for flag in ["--network=host", "--security=insecure"] {
        for prefix in ["RUN", "ONBUILD run"] {
            let error = read(&format!("FROM a\n{prefix} {flag} x\n")).unwrap_err();
            assert!(matches!(&error, InvalidDockerfile::Forbidden { line: 2, .. }), "{error}");
        }
    }
    assert_eq!(read("FROM a\nRUN --network=none x\n").unwrap().needs.len(), 1);
}

#[test]
fn no_frontend_is_fetched() {
    for name in ["docker/dockerfile:1", "docker.io/docker/dockerfile:1.7-labs", "docker/dockerfile@sha256:00"] {
        let found = lines(&format!("# syntax={name}\n# escape=`\nFROM a\nRUN a `\n b\n"));
        assert_eq!(found[..3], ["# escape=`", "#", "FROM a"], "{name}");
    }
    let error = read("#syntax = localhost:5000/evil:1\nFROM a\n").unwrap_err().to_string();
    assert!(error.starts_with("line 1 of the Dockerfile asks for the frontend \"localhost:5000/evil:1\""), "{error}");
}

#[test]
fn every_encoding_that_editors_write_is_read() {
    let text = "FROM a\nRUN b\n";
    let wide = |to: fn(u16) -> [u8; 2], mark: [u8; 2]| [mark.to_vec(), text.encode_utf16().flat_map(to).collect()].concat();
    for bytes in [
        text.as_bytes().to_vec(),
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        text.replace('\n', "\r\n").into_bytes(),
        wide(u16::to_le_bytes, [0xff, 0xfe]),
        wide(u16::to_be_bytes, [0xfe, 0xff]),
    ] {
        assert_eq!(decode(&bytes).unwrap(), text, "{bytes:?}");
    }
    assert_eq!(decode(b"FROM \xff\xffa").unwrap_err(), InvalidDockerfile::Encoding);
}
