//! A clean tree has no problem; each change breaks exactly the rule it should.
#![allow(clippy::unwrap_used)]

use skerry_plan::board::Arch;

use super::{super::elf_fixture::Fixture, super::model::*, *};

const LIBS: &str = "usr/lib/x86_64-linux-gnu";

fn origin() -> Origin {
    Origin::Package { name: "test".into(), version: "1".into() }
}

fn file(tree: &mut Tree, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
    tree.insert(path, Entry::bytes(mode, bytes, origin()));
}

fn link(tree: &mut Tree, path: &str, target: &str) {
    tree.insert(path, Entry::symlink(target, origin()));
}

fn program(needed: &[&str]) -> Vec<u8> {
    Fixture { interpreter: Some("/lib64/ld-linux.so"), needed, ..Fixture::default() }.bytes()
}

fn library(soname: &str, needed: &[&str]) -> Vec<u8> {
    Fixture { soname: Some(soname), needed, ..Fixture::default() }.bytes()
}

/// A small tree that keeps every rule.
fn clean() -> Tree {
    let mut t = Tree::new(origin());
    link(&mut t, "lib64", "usr/lib64");
    link(&mut t, "bin", "usr/bin");
    link(&mut t, "etc/resolv.conf", "../run/skerry/resolv.conf");
    file(&mut t, "usr/lib64/ld-linux.so", 0o755, library("ld-linux.so", &[]));
    file(&mut t, &format!("{LIBS}/liba.so.1.2"), 0o644, library("liba.so.1", &["ld-linux.so"]));
    link(&mut t, &format!("{LIBS}/liba.so.1"), "liba.so.1.2");
    // libcore has no search path; the program that loads it has one.
    file(&mut t, "usr/lib/private/libcore.so", 0o644, library("libcore.so", &["libshared.so"]));
    file(&mut t, "usr/lib/private/libshared.so", 0o644, library("libshared.so", &["liba.so.1"]));
    let needed: &[&str] = &["libcore.so", "libshared.so"];
    let init = Fixture {
        interpreter: Some("/lib64/ld-linux.so"),
        needed,
        runpath: Some("/usr/lib/private"),
        ..Fixture::default()
    };
    file(&mut t, "usr/bin/init", 0o755, init.bytes());
    file(
        &mut t,
        "usr/lib/systemd/system/a.service",
        0o644,
        "[Service]\nExecStart=-/usr/bin/init --x\nUser=net\nGroup=net\n",
    );
    file(&mut t, "etc/passwd", 0o644, "root:x:0:0::/:/x\nnet:x:9:9::/:/x\n");
    file(&mut t, "etc/group", 0o644, "root:x:0:\nnet:x:9:\n");
    t.insert("tmp", Entry { mode: 0o1777, ..Entry::dir(origin()) });
    t
}

#[test]
fn clean_tree_has_no_problem() {
    let problems = lint(&clean(), &Rules::os(Arch::X86_64));
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn every_break_is_found_at_its_path() {
    type Break = (&'static str, fn(&mut Tree), &'static str, Rule);
    let breaks: &[Break] = &[
        ("shell", |t| file(t, "usr/bin/sh", 0o755, program(&[])), "usr/bin/sh", Rule::Shell),
        ("shell-link", |t| link(t, "usr/sbin/ash", "../bin/init"), "usr/sbin/ash", Rule::Shell),
        ("package-manager", |t| file(t, "usr/bin/dpkg", 0o755, program(&[])), "usr/bin/dpkg", Rule::PackageManager),
        ("script", |t| file(t, "usr/bin/x", 0o755, "#! /bin/sh -e\n"), "usr/bin/x", Rule::Interpreter),
        ("setuid", |t| file(t, "usr/bin/su", 0o4755, program(&[])), "usr/bin/su", Rule::Privilege),
        ("setgid", |t| file(t, "usr/bin/wall", 0o2755, program(&[])), "usr/bin/wall", Rule::Privilege),
        (
            "capability",
            |t| {
                let mut entry = Entry::bytes(0o755, program(&[]), origin());
                entry.xattrs.insert("security.capability".into(), vec![1]);
                t.insert("usr/bin/ping", entry);
            },
            "usr/bin/ping",
            Rule::Privilege,
        ),
        ("world-writable-file", |t| file(t, "etc/x", 0o666, ""), "etc/x", Rule::WorldWritable),
        (
            "world-writable-dir",
            |t| t.insert("tmp", Entry { mode: 0o777, ..Entry::dir(origin()) }),
            "tmp",
            Rule::WorldWritable,
        ),
        ("dangling", |t| link(t, "etc/x", "../usr/bin/none"), "etc/x", Rule::DanglingLink),
        ("link-loop", |t| link(t, "etc/x", "x"), "etc/x", Rule::DanglingLink),
        ("link-through-run-out-again", |t| link(t, "etc/x", "../run/../usr/none"), "etc/x", Rule::DanglingLink),
        ("top-level", |t| file(t, "srv/x", 0o644, ""), "srv", Rule::TopLevel),
        (
            "library-gone",
            |t| drop(t.entries.remove(&format!("{LIBS}/liba.so.1"))),
            "usr/lib/private/libshared.so",
            Rule::MissingLibrary,
        ),
        ("interpreter-gone", |t| drop(t.entries.remove("usr/lib64/ld-linux.so")), "usr/bin/init", Rule::MissingLibrary),
        (
            "private-library-without-path",
            |t| file(t, "usr/bin/x", 0o755, program(&["libshared.so"])),
            "usr/bin/x",
            Rule::MissingLibrary,
        ),
        (
            "unneeded",
            |t| file(t, &format!("{LIBS}/libz.so.1"), 0o644, library("libz.so.1", &[])),
            "usr/lib/x86_64-linux-gnu/libz.so.1",
            Rule::UnneededLibrary,
        ),
        (
            "other-machine",
            |t| file(t, "usr/bin/x", 0o755, Fixture { machine: 183, ..Fixture::default() }.bytes()),
            "usr/bin/x",
            Rule::Elf,
        ),
        ("cut-elf", |t| file(t, "usr/bin/x", 0o755, b"\x7fELF\x02\x01\x01".to_vec()), "usr/bin/x", Rule::Elf),
        (
            "unit-program",
            |t| file(t, "usr/lib/systemd/system/b.service", 0o644, "[Service]\nExecStop=!!/bin/none\n"),
            "usr/lib/systemd/system/b.service",
            Rule::MissingProgram,
        ),
        (
            "unit-user",
            |t| file(t, "usr/lib/systemd/system/b.service", 0o644, "[Service]\nUser=nobody\n"),
            "usr/lib/systemd/system/b.service",
            Rule::UnknownUser,
        ),
        (
            "tmpfiles-group",
            |t| file(t, "usr/lib/tmpfiles.d/x.conf", 0o644, "d /run/x 0755 root adm -\n"),
            "usr/lib/tmpfiles.d/x.conf",
            Rule::UnknownUser,
        ),
        (
            "udev-group",
            |t| file(t, "usr/lib/udev/rules.d/x.rules", 0o644, "KERNEL==\"a\", GROUP=\"tty\", MODE=\"0600\"\n"),
            "usr/lib/udev/rules.d/x.rules",
            Rule::UnknownUser,
        ),
        (
            "file-as-folder",
            |t| drop(t.entries.insert("etc/group/x".into(), Entry::bytes(0o644, "", origin()))),
            "etc/group/x",
            Rule::Path,
        ),
        (
            "parent-path",
            |t| drop(t.entries.insert("etc/../x".into(), Entry::bytes(0o644, "", origin()))),
            "etc/../x",
            Rule::Path,
        ),
    ];
    for (name, change, path, rule) in breaks {
        let mut tree = clean();
        change(&mut tree);
        let problems = lint(&tree, &Rules::os(Arch::X86_64));
        assert!(problems.iter().any(|p| p.path == *path && p.rule == *rule), "{name}: {problems:#?}");
    }
}

#[test]
fn all_problems_come_at_once_with_their_origin() {
    let mut tree = clean();
    file(&mut tree, "usr/bin/bash", 0o4755, program(&["libnone.so"]));
    let problems = lint(&tree, &Rules::os(Arch::X86_64));
    let rules: Vec<Rule> = problems.iter().map(|p| p.rule).collect();
    assert_eq!(rules, [Rule::Privilege, Rule::Shell, Rule::MissingLibrary]);
    assert_eq!(problems[1].to_string(), "/usr/bin/bash: is a shell (from package test 1)");
}

#[test]
fn declared_dlopen_is_required_and_justifies_the_library() {
    let json =
        r#"[{"priority":"suggested","soname":["libkmod.so.2"]},{"priority":"suggested","soname":["libbpf.so.1"]}]"#;
    let mut tree = clean();
    let udev = Fixture { interpreter: Some("/lib64/ld-linux.so"), dlopen: Some(json), ..Fixture::default() };
    file(&mut tree, "usr/bin/udevd", 0o755, udev.bytes());
    let problems = lint(&tree, &Rules::os(Arch::X86_64));
    assert_eq!(
        problems.iter().map(|p| (p.path.as_str(), p.rule)).collect::<Vec<_>>(),
        [("usr/bin/udevd", Rule::MissingLibrary)]
    );
    file(&mut tree, &format!("{LIBS}/libkmod.so.2"), 0o644, library("libkmod.so.2", &[]));
    assert_eq!(lint(&tree, &Rules::os(Arch::X86_64)), []);
}

#[test]
fn apps_may_hold_a_shell_but_no_setuid_program() {
    let mut tree = Tree::new(origin());
    file(&mut tree, "bin/sh", 0o755, program(&["libnone.so"]));
    link(&mut tree, "x", "nowhere");
    assert_eq!(lint_app(&tree), []);
    file(&mut tree, "bin/su", 0o4755, "");
    assert_eq!(lint_app(&tree).iter().map(|p| p.rule).collect::<Vec<_>>(), [Rule::Privilege]);
}
