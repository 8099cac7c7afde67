//! The help texts: they are documentation, so a change in them is seen.
#![allow(clippy::unwrap_used)]

use clap::CommandFactory;
use skerry::cli::Cli;

/// Help of a command and all below it, as on a terminal 80 columns wide.
fn help(command: &mut clap::Command, name: &str, out: &mut String) {
    let title = format!("$ {name} --help");
    let rendered = command.clone().bin_name(name).term_width(80).render_long_help().to_string();
    out.push_str(&format!("{title}\n{rendered}\n"));
    for sub in command.get_subcommands_mut().filter(|s| s.get_name() != "help") {
        let name = format!("{name} {}", sub.get_name());
        help(sub, &name, out);
    }
}

fn all_help() -> String {
    let mut command = Cli::command().term_width(80);
    command.build();
    let mut out = String::new();
    help(&mut command, "skerry", &mut out);
    out
}

#[test]
fn help_texts() {
    insta::assert_snapshot!(all_help());
}

#[test]
fn help_fits_80_columns() {
    let wide: Vec<String> = all_help().lines().filter(|l| l.chars().count() > 80).map(Into::into).collect();
    assert!(wide.is_empty(), "{wide:#?}");
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn manual_pages_and_completions_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let ctx =
        skerry::cli::Ctx { progress: skerry::progress::Progress::none(), cache_dir: dir.path().into(), verbosity: 0 };
    skerry::cli::man::run(skerry::cli::man::Args { dir: dir.path().join("man") }, &ctx).unwrap();
    for command in ["skerry", "skerry-build", "skerry-lock", "skerry-keys-init", "skerry-kubeconfig"] {
        let page = std::fs::read_to_string(dir.path().join(format!("man/{command}.1"))).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{command}");
    }
    let mut script = Vec::new();
    clap_complete::generate(clap_complete::Shell::Bash, &mut Cli::command(), "skerry", &mut script);
    assert!(String::from_utf8(script).unwrap().contains("skerry__subcmd__lock"));
}

/// `skerry … | head -1` ends quietly.
#[test]
fn a_closed_pipe_is_no_panic() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_skerry"))
        .args(["boards", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
}
