//! The user's view: the web client in a real Chromium, with the real API, worker, PostgreSQL and Docker. Each test here runs one
//! file of `web/tests`; the names of the tests in that file say what they show.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use support::{Stack, node};

fn run(file: &str) {
    node::run(&[], file, "");
}

#[test]
fn a_first_visit_ends_with_a_result() {
    let mut stack = Stack::start();
    node::run(&[], "first", &stack.api);
    stack.stop();
}

#[test]
fn the_page_runs_jobs() {
    run("page");
}

#[test]
fn the_panels_tell_and_keep_what_a_person_needs() {
    run("panel");
}

#[test]
fn metapages_old_and_new_send_inputs_and_get_outputs() {
    run("metaframe");
}

#[test]
fn a_job_and_a_queue_have_pages_of_their_own() {
    run("pages");
}

#[test]
fn everybody_can_use_the_page() {
    run("access");
}

#[test]
fn what_strangers_write_never_runs() {
    run("hostile");
}

#[test]
fn a_network_that_fails_costs_nothing() {
    run("flap");
}

#[test]
fn a_queue_s_token_goes_to_its_server_alone() {
    run("tokens");
}

#[test]
fn dropped_files_reach_the_job() {
    run("drop");
}

#[test]
fn light_and_dark_never_flash() {
    run("theme");
}

#[test]
fn tabs_of_one_link_follow_one_job() {
    run("tabs");
}

#[test]
fn outputs_of_every_kind_are_previewed() {
    run("previews");
}

#[test]
fn an_edit_makes_the_job_that_the_server_knows() {
    run("editor");
}

#[test]
fn frames_and_odd_links_break_nothing() {
    run("frames");
}

#[test]
fn who_was_offline_misses_nothing() {
    run("offline");
}

#[test]
fn strangers_pages_run_nothing_on_a_machine_of_ones_own() {
    run("local");
}

#[test]
fn a_browser_that_had_another_page_at_this_address_shows_ours() {
    run("retired");
}

#[test]
fn ends_say_whose_fault_they_are_and_results_what_they_lack() {
    run("ends");
}

#[test]
fn no_log_loses_a_line_or_a_colour() {
    run("logs");
}

#[test]
#[ignore = "makes pictures for people: ./x shots"]
fn shots() {
    assert!(node::command(&["tests/shots.mjs"]).status().unwrap().success());
}

#[test]
#[ignore = "measures for some minutes: ./x figures"]
fn figures() {
    assert!(node::command(&["tests/figures.mjs"]).status().unwrap().success());
}
