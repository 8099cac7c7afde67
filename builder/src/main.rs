//! Entry point of the `skerry` command.

use std::process::ExitCode;

use clap::Parser;
use skerry::cli::{Cli, exit};

fn main() -> ExitCode {
    quiet_on_closed_pipe();
    let cli = Cli::parse();
    init_logging(cli.global.verbose);
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(exit::code_of(&error) as u8)
        }
    }
}

/// `skerry … | head` closes our standard output; that is no defect to report.
fn quiet_on_closed_pipe() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(exit::Code::Failed as i32);
        }
        default(info);
    }));
}

/// The chain once, outermost first, one cause per line.
fn report(error: &anyhow::Error) {
    eprintln!("error: {error}");
    let mut last = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if cause != last {
            eprintln!("  because: {}", cause.replace('\n', "\n    "));
        }
        last = cause;
    }
}

/// `tracing` on standard error: warnings, with `-v` more, with `SKERRY_LOG`
/// whatever it says.
fn init_logging(verbosity: u8) {
    let default = match verbosity {
        0 => "warn",
        1 => "skerry=info,warn",
        _ => "skerry=debug,info",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("SKERRY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
}
