//! `asman consent`: which web pages of other origins may use the API of this machine. It changes the file that the API reads, so
//! it works with and without a running API, and takes effect at once.

use api::{Consent, ConsentError, ConsentFile};

use crate::args::Global;
use crate::data::DataArgs;
use crate::failure::Failure;
use crate::say;

const AFTER_HELP: &str = "\
Examples:
  asman consent list
  asman consent allow https://page.example      its pages may use `asman up` of this machine, as if they were asked at
                                                http://localhost:8000/consent
  asman consent revoke https://page.example     and no more; its open sockets are closed within seconds

A page that was let in may run containers here and read what jobs leave: allow only whom you trust. `asman up --allow-origin` does the
same for as long as it runs. An API with another --consent-file is looked after with the same flag here.";

/// What `asman consent` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// The file with the consents [default: consent.json in the data directory].
    #[arg(long, global = true, env = "ASMAN_CONSENT_FILE", value_name = "FILE")]
    consent_file: Option<std::path::PathBuf>,
    /// The data directory of `asman up` [default: /var/lib/asman for root, else ~/.local/share/asman].
    #[arg(long, global = true, value_name = "D")]
    data_directory: Option<std::path::PathBuf>,
}

/// Verbs of `asman consent`.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show the origins whose pages may use this machine, oldest first.
    List,
    /// Allow pages of an origin to use this machine.
    Allow(Origin),
    /// Revoke that. An origin that is not allowed is not an error.
    Revoke(Origin),
}

#[derive(Debug, clap::Args)]
struct Origin {
    /// Scheme and host, such as `https://page.example`, and the port if it is not the scheme's default.
    #[arg(value_parser = api::parse_origin)]
    origin: String,
}

/// The consent file of the API that uses this data directory.
pub(crate) fn file_in(data: &std::path::Path) -> std::path::PathBuf {
    data.join("consent.json")
}

/// Runs one command.
pub(crate) fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let path = match args.consent_file {
        Some(path) => path,
        None => file_in(&DataArgs::at(args.data_directory).path()?),
    };
    let file = ConsentFile::at(path);
    let failed = |error: ConsentError| Failure::Failed(error.to_string());
    match args.verb {
        Verb::List => list(&file.list().map_err(failed)?, global),
        Verb::Allow(Origin { origin }) if origin == "null" => {
            return Err(Failure::BadInput(
                "pages of the origin `null` cannot be told from other pages, so they cannot be allowed; serve the page from a host".to_owned(),
            ));
        }
        Verb::Allow(Origin { origin }) => {
            let word = if file.allow(&origin).map_err(failed)? { "may use this machine now" } else { "might already" };
            say::note(&format!("Pages of {origin} {word}; revoke it with `asman consent revoke {origin}`"));
        }
        Verb::Revoke(Origin { origin }) => {
            let word = if file.revoke(&origin).map_err(failed)? { "may no longer use this machine" } else { "were not allowed" };
            say::note(&format!("Pages of {origin} {word}"));
        }
    }
    Ok(())
}

fn list(consents: &[Consent], global: &Global) {
    if global.json {
        return say::json(&consents);
    }
    if consents.is_empty() {
        say::note("No pages of other origins may use this machine");
    }
    for consent in consents {
        say::result(&format!("{:<40}  since {}", say::name(&consent.origin), consent.since_text()));
    }
}
