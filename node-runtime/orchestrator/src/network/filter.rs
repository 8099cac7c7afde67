//! Puts a ruleset in force with the `nft` program.

use std::process::Stdio;

use anyhow::Context;
use tokio::io::AsyncWriteExt;

use super::{Kept, Names, Ruleset, conntrack, links, render, render::LIST};
use crate::config::Config;

/// Change the table in force into that of `rules`.
pub(crate) async fn apply(config: &Config, rules: &Ruleset) -> anyhow::Result<()> {
    let links = format!("{}*", links::HOST_LINKS);
    let (networks, gateways) = (config.pod_cidrs(), config.gateways());
    let names = Names { pod_links: &links, pod_networks: &networks, gateways: &gateways };
    // There is none at first; that is no failure.
    let listed = nft(config, &LIST, b"").await.unwrap_or_default();
    let kept = Kept::parse(&listed);
    let put = async |kept: Option<&Kept>| -> anyhow::Result<()> {
        let json = serde_json::to_vec(&render(rules, &names, kept))?;
        nft(config, &["-j", "-f", "-"], &json).await.map(drop).context("nft refused the ruleset")
    };
    match (put(kept.as_ref()).await, &kept) {
        (Err(error), Some(_)) => {
            tracing::warn!("{error:#}; the table is made anew");
            put(None).await?;
        }
        (result, _) => result?,
    }
    forget_flows(rules);
    Ok(())
}

fn forget_flows(rules: &Ruleset) {
    match conntrack::forget_stale(rules) {
        Ok(0) => {}
        Ok(n) => tracing::debug!("{n} UDP flows to pods that serve no longer were forgotten"),
        Err(error) => tracing::warn!(%error, "UDP flows to pods that serve no longer may go on"),
    }
}

async fn nft(config: &Config, args: &[&str], input: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut nft = tokio::process::Command::new(&config.nft)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", config.nft.display()))?;
    if let Some(mut stdin) = nft.stdin.take() {
        stdin.write_all(input).await?;
    }
    let out = nft.wait_with_output().await?;
    if out.status.success() {
        return Ok(out.stdout);
    }
    let why = String::from_utf8_lossy(&out.stderr);
    anyhow::bail!("{}", why.lines().next().unwrap_or("no reason given"))
}
