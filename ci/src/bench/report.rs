//! `docs/benchmarks.md` and its plot, from the measured entries alone.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context, Result};

use super::{
    Group,
    boot::{FIRST_STAGE, STAGE},
    entry::{Entry, Machine, Of},
    image::CONTRIBUTOR,
    plot::{Panel, Row, svg},
};

const PLOT: &str = "benchmarks.svg";
const PAGE: &str = "benchmarks.md";

/// Results by group.
type Results = [(Group, Vec<Entry>)];

/// Write page and plot to `docs`.
///
/// # Errors
/// If a file cannot be written.
pub fn write(docs: &Path, results: &Results) -> Result<()> {
    for (name, text) in [(PLOT, plot(results)), (PAGE, page(results))] {
        let path = docs.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

fn page(results: &Results) -> String {
    let mut out = String::from(
        "# Benchmarks\n\nWritten by `ci/bench` from `out/bench/*.json`; do not edit. `ci/bench` measures everything again, in one run; \
         `ci/bench --only GROUP` measures one group. The subject is the demo product: Debian 13's kernel, systemd, containerd and crun, \
         the node programs, one small app. MB are 10⁶ bytes. A missed goal is printed as missed.\n\n",
    );
    let _ = writeln!(out, "![Measured figures, as bars]({PLOT})\n");
    machines(&mut out, results);
    for (group, entries) in results.iter().filter(|(_, e)| !e.is_empty()) {
        let _ = writeln!(out, "\n## {}\n", heading(*group));
        emulated(&mut out, *group, entries);
        let (main, rest): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|e| part_of(e).is_none());
        table(&mut out, &main);
        for prefix in PARTS {
            let rows: Vec<&Entry> = rest.iter().copied().filter(|e| part_of(e) == Some(prefix)).collect();
            parts(&mut out, prefix, &rows);
        }
        let _ = writeln!(out, "\nRepeat: `{}`", entries[0].repeat);
    }
    out
}

/// Entries that are parts of others go to tables of their own.
const PARTS: [&str; 3] = [CONTRIBUTOR, STAGE, FIRST_STAGE];

fn part_of(entry: &Entry) -> Option<&'static str> {
    PARTS.into_iter().find(|p| entry.name.starts_with(p))
}

fn heading(group: Group) -> &'static str {
    match group {
        Group::Image => "Size",
        Group::Build => "Build time",
        Group::Boot => "Boot and memory",
        Group::Update => "Update",
        Group::Pods => "Pods",
        Group::Report => "",
    }
}

/// One line per machine and day; usually one.
fn machines(out: &mut String, results: &Results) {
    let mut seen: Vec<(&Machine, Vec<&str>)> = Vec::new();
    for (group, entries) in results {
        let Some(entry) = entries.first() else { continue };
        match seen.iter_mut().find(|(m, _)| *m == &entry.machine) {
            Some((_, groups)) => groups.push(group.name()),
            None => seen.push((&entry.machine, vec![group.name()])),
        }
    }
    for (m, groups) in seen {
        let commit = if m.commit.is_empty() { String::new() } else { format!(", commit {}", m.commit) };
        let _ = writeln!(
            out,
            "- {}: measured {}{commit}, on {}, load averages {} at the start; guests run under {}",
            groups.join(", "),
            m.date,
            m.host,
            m.load,
            m.accel.to_uppercase()
        );
    }
}

fn emulated(out: &mut String, group: Group, entries: &[Entry]) {
    let more = match group {
        Group::Boot => ", shares of stages are shifted",
        Group::Pods => "; those from the API's request on, and all that are named \"on this host\", are not emulated",
        _ => return,
    };
    if entries[0].machine.accel == "tcg" {
        let _ = writeln!(
            out,
            "The guest is emulated instruction by instruction (TCG): times are several times longer than on hardware{more}.\n"
        );
    }
}

fn table(out: &mut String, entries: &[&Entry]) {
    out.push_str("| what | measured | peer | ratio | goal | how |\n|---|---:|---|---:|---|---|\n");
    for e in entries {
        let peer =
            e.peer.iter().zip(e.peer_value).map(|(p, v)| format!("{p}: {}", figure(v, &e.unit))).collect::<String>();
        let ratio = e.ratio.map(|r| format!("{r:.2}")).unwrap_or_default();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {ratio} | {} | {} |",
            cell(&e.name),
            figure(e.value, &e.unit),
            cell(&peer),
            e.goal_text().unwrap_or_default(),
            cell(&e.note)
        );
    }
}

fn parts(out: &mut String, prefix: &str, entries: &[&Entry]) {
    let Some(first) = entries.first() else { return };
    let title = match prefix {
        CONTRIBUTOR => "The largest files",
        STAGE => "Stages of the median boot",
        _ => "Stages of the first boot",
    };
    let _ = writeln!(out, "\n{title}:\n\n| what | {} | |\n|---|---:|---|", first.unit);
    for e in entries {
        let name = e.name.trim_start_matches(prefix);
        let name = if name.starts_with('/') { format!("`{name}`") } else { name.to_owned() };
        let _ = writeln!(out, "| {name} | {:.1} | {} |", e.value, cell(&e.note));
    }
}

/// One decimal, two of what would be nearly nothing otherwise.
fn figure(value: f64, unit: &str) -> String {
    if value != 0.0 && value.abs() < 1.0 { format!("{value:.2} {unit}") } else { format!("{value:.1} {unit}") }
}

/// Text that cannot end a table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn plot(results: &Results) -> String {
    let of = |group: Group| results.iter().find(|(g, _)| *g == group).map_or(&[][..], |(_, e)| e);
    let all = results.iter().flat_map(|(_, e)| e);
    svg(
        "Skerry, demo product: what was measured",
        &[
            goals(all),
            builds(of(Group::Build)),
            boots(of(Group::Boot)),
            updates(of(Group::Update)),
            largest(of(Group::Image)),
        ],
    )
}

fn goals<'a>(entries: impl Iterator<Item = &'a Entry>) -> Panel {
    let row = |e: &Entry| {
        let share = e.of_goal()? * 100.0;
        let goal = e.goal?;
        let text = match goal.of {
            Of::Value => format!("{} of {} {}", short(e.value), goal.max, e.unit),
            Of::Ratio => format!("ratio {:.2} of {}", e.ratio?, goal.max),
        };
        let colour = if goal.met { 2 } else { 5 };
        Some(Row { limit: Some(100.0), ..Row::bar(&e.name, share, text, colour) })
    };
    Panel {
        title: "Against the goals (red line: limit)".into(),
        legend: vec![],
        rows: entries.filter_map(row).collect(),
    }
}

fn builds(entries: &[Entry]) -> Panel {
    let mut rows = Vec::new();
    for e in entries {
        // Entries that only add a peer repeat our figure.
        if !e.name.contains(',') {
            rows.push(Row::bar(format!("skerry, {}", e.name), e.value, figure(e.value, &e.unit), 0));
        }
        if let (Some(peer), Some(value)) = (&e.peer, e.peer_value) {
            rows.push(Row::bar(peer, value, figure(value, &e.unit), 7));
        }
    }
    Panel { title: "Build, seconds".into(), legend: vec![], rows }
}

fn boots(entries: &[Entry]) -> Panel {
    let row = |label: &str, prefix: &str| {
        let parts: Vec<f64> = entries.iter().filter(|e| part_of(e) == Some(prefix)).map(|e| e.value).collect();
        let total: f64 = parts.iter().sum();
        (!parts.is_empty()).then(|| Row { parts, ..Row::bar(label, 0.0, figure(total, "s"), 0) })
    };
    let legend = entries.iter().filter_map(|e| e.name.strip_prefix(STAGE)).map(str::to_owned).collect();
    let rows = [row("first boot", FIRST_STAGE), row("later boots, median", STAGE)].into_iter().flatten().collect();
    Panel { title: "Power-on to app, seconds by stage".into(), legend, rows }
}

fn updates(entries: &[Entry]) -> Panel {
    let Some(fetched) = entries.iter().find(|e| e.peer.is_some()) else { return Panel::default() };
    let mut rows = vec![Row::bar(&fetched.name, fetched.value, figure(fetched.value, &fetched.unit), 0)];
    for e in entries {
        if let (Some(peer), Some(value)) = (&e.peer, e.peer_value) {
            rows.push(Row::bar(peer, value, figure(value, &e.unit), 7));
        }
    }
    Panel { title: "Update, MB".into(), legend: vec![], rows }
}

fn largest(entries: &[Entry]) -> Panel {
    let files = entries.iter().filter_map(|e| Some((e.name.strip_prefix(CONTRIBUTOR)?, e)));
    let row = |(path, e): (&str, &Entry)| {
        Row::bar(path.rsplit('/').next().unwrap_or(path), e.value, figure(e.value, &e.unit), 4)
    };
    Panel { title: "Largest files of the OS, MB".into(), legend: vec![], rows: files.map(row).collect() }
}

/// As few digits as tell the figure.
fn short(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Vec<(Group, Vec<Entry>)> {
        let mut image = Entry::megabytes("disk image, compressed", 44_000_000, "a|b").at_most(50.0);
        image.repeat = "ci/bench --only image".into();
        image.machine.accel = "tcg".into();
        let file = Entry::megabytes(format!("{CONTRIBUTOR}/usr/bin/containerd"), 42_000_000, "package containerd");
        let build = Entry::new("warm build", 20.0, "s", "").beside("mkosi", 40.0).ratio_at_most(0.25);
        let stages = ["firmware", "kernel"].map(|s| Entry::new(format!("{STAGE}{s}"), 4.0, "s", ""));
        vec![
            (Group::Image, vec![image, file]),
            (Group::Build, vec![build]),
            (Group::Boot, stages.to_vec()),
            (Group::Update, vec![]),
        ]
    }

    #[test]
    fn the_page_shows_peers_ratios_and_missed_goals() {
        let page = page(&results());
        assert!(page.contains("| disk image, compressed | 44.0 MB |  |  | ≤ 50 MB, met | a\\|b |"), "{page}");
        assert!(page.contains("| warm build | 20.0 s | mkosi: 40.0 s | 0.50 | ratio ≤ 0.25, **missed** |"), "{page}");
        assert!(page.contains("| `/usr/bin/containerd` | 42.0 | package containerd |"), "{page}");
        assert!(page.contains("Repeat: `ci/bench --only image`"));
        assert!(!page.contains("## Update"), "groups that were not measured are left out");
    }

    #[test]
    fn the_plot_has_a_panel_per_measured_group() {
        let svg = plot(&results());
        assert!(
            svg.contains("Against the goals") && svg.contains("skerry, warm build") && svg.contains(">8.0 s<"),
            "{svg}"
        );
        assert!(!svg.contains("Update, MB"));
    }
}
