//! The command line.

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use throughline_change::timeline::State;

/// A telemetry pipeline agent for GitOps, infrastructure-as-code and CI/CD platforms.
///
/// Receives OTLP and CI webhooks, gives every signal its change_id, masks secrets, and delivers to the backends you
/// have. A success reply means that every destination accepted the data, or that it was synced to disk.
#[derive(Debug, Parser)]
#[command(name = "throughline", version, propagate_version = true, after_help = EXIT_CODES)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// As the Collector is started: `throughline --config a.yaml` is `throughline run --config a.yaml`.
    #[command(flatten)]
    inputs: Inputs,
    #[command(subcommand)]
    command: Option<Command>,
}

impl Cli {
    /// What is to be done; without a subcommand, `run`.
    pub(crate) fn chosen(self) -> Command {
        self.command.unwrap_or(Command::Run(self.inputs))
    }
}

const EXIT_CODES: &str = "Exit codes:
  0  it did what was asked
  1  it could not start, or could not go on
  2  the command line or the configuration is wrong; every mistake is printed with its place
  3  it stopped before everything on its way was delivered; the senders were told to send it again";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the agent until SIGTERM or SIGINT; SIGHUP reloads the configuration.
    ///
    /// On the first signal it drains: nothing more is taken in, what is on its way is delivered. A second signal ends
    /// it at once.
    #[command(after_help = EXIT_CODES)]
    Run(Inputs),
    /// Checks a configuration as `run` would, up to opening anything.
    ///
    /// What is wrong with this machine only (a missing directory or certificate, a port that somebody has) is noted, and the file
    /// is right all the same; with `--here` it is an error.
    Validate {
        #[command(flatten)]
        inputs: Inputs,
        /// Prints what would run: fused walks, streams, and where masking was put in.
        #[arg(long)]
        graph: bool,
        /// Whether the configuration fits this machine too.
        #[arg(long)]
        here: bool,
    },
    /// Lists the components in this binary, as YAML.
    Components,
    /// Prints the merged and expanded configuration, secrets masked.
    #[command(alias = "print-initial-config")]
    PrintConfig {
        #[command(flatten)]
        inputs: Inputs,
        /// Whether secrets are shown.
        #[arg(long, value_enum, default_value = "redacted")]
        mode: Mode,
        /// The notation.
        #[arg(long, value_enum, default_value = "yaml")]
        format: Format,
        /// Prints nothing, and says what is wrong, if the configuration is.
        #[arg(long)]
        validate: bool,
    },
    /// Plays a change through the real agent on this machine, and tells its story from what came out.
    ///
    /// Starts `run` with the embedded `examples/quickstart.yaml` on free ports of the loopback interface, sends it signed
    /// GitHub deliveries and OTLP as the outside world would, and stays up for your own traffic until Ctrl-C. Nothing
    /// leaves the machine; all files are in one folder, named at the end.
    Demo {
        /// Exits when the story is told.
        #[arg(long)]
        once: bool,
        /// Varies repository, numbers, the failing step and the secret.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Where the files go; made if it is not there. Default: `throughline-demo-SEED` in the temporary folder.
        #[arg(long, value_name = "FOLDER")]
        folder: Option<std::path::PathBuf>,
    },
    /// Lists the changes that a running agent knows: where each stands, what it waits for, since when.
    ///
    /// The agent keeps them where the `changes` exporter is in a pipeline of its events.
    Changes {
        #[command(flatten)]
        agent: Agent,
        #[command(flatten)]
        which: Which,
        /// Shows the list anew every two seconds, until Ctrl-C.
        #[arg(long)]
        watch: bool,
    },
    /// Tells what a running agent knows of one change: its stages, how long each waited and took, who did it, what was linked.
    Change {
        /// Its id, its key, the address of its pull request, a commit of it (7 digits or more), or the end of its id
        /// (`infra-live#482`, `#482`).
        #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
        what: String,
        #[command(flatten)]
        agent: Agent,
    },
    /// Looks at a storage that no agent has open: what waits for whom.
    Queue {
        /// The storage's directory.
        #[arg(long, value_name = "FOLDER", default_value = "/var/lib/throughline/storage")]
        directory: std::path::PathBuf,
        #[command(subcommand)]
        what: Queue,
    },
    /// Writes a reference page for every component, as Markdown: FOLDER/KIND/NAME.md, FOLDER/service.md, and beside the folder
    /// coming-from-the-collector.md.
    #[command(hide = true)]
    Reference {
        /// Made if it is not there.
        folder: std::path::PathBuf,
    },
    /// Prints a completion script for a shell.
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// A running agent that is asked.
#[derive(Clone, Debug, Args)]
pub(crate) struct Agent {
    /// Its telemetry address (`service::telemetry::metrics`).
    #[arg(long, value_name = "ADDRESS", default_value = "http://localhost:8888")]
    pub(crate) agent: String,
    /// Prints the answer as it came, JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Checks a duration, which the agent reads.
fn duration(text: &str) -> Result<String, String> {
    let read: Result<throughline_config::Duration, _> = text.parse();
    read.map(|_| text.to_owned()).map_err(|error| format!("{error}; for example 30m"))
}

/// Which changes are asked for.
#[derive(Clone, Debug, Args)]
pub(crate) struct Which {
    /// Only those that are not done, and of which nothing was heard for so long; 1h unless given: `--stuck=30m`.
    #[arg(
        long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "1h",
        value_parser = duration
    )]
    pub(crate) stuck: Option<String>,
    /// Only those that are `waiting`, `running`, `failed` or `done`.
    #[arg(long, value_parser = PossibleValuesParser::new(State::ALL.map(State::as_str)))]
    pub(crate) state: Option<String>,
    /// Only those of which something took place there.
    #[arg(long)]
    pub(crate) environment: Option<String>,
    /// Only those of this repository: its whole name, or the end of it.
    #[arg(long)]
    pub(crate) repository: Option<String>,
    /// How many to show; 100 unless given, 1000 at most.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: Option<u32>,
}

/// What is to be done with a storage.
#[derive(Debug, Subcommand)]
pub(crate) enum Queue {
    /// Lists what waits, by stream and destination, and for how long nobody has read for it.
    Ls,
    /// Gives up what waits for a destination; what waits for others stays.
    Drop {
        /// The exporter, as the configuration spelt it, or `(unknown)`.
        destination: String,
        /// Only in this stream (a pipeline).
        #[arg(long)]
        stream: Option<String>,
    },
    /// Throws away what a component remembers, so that it begins anew.
    Forget {
        /// Its kind and id: `processor change`.
        component: String,
    },
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Args)]
pub(crate) struct Inputs {
    /// A configuration: a path, `file:PATH`, `env:NAME` or `yaml:TEXT`. Given several times, later ones win: maps are
    /// merged, lists and scalars replaced.
    #[arg(long = "config", value_name = "LOCATION", required = true)]
    pub(crate) config: Vec<String>,
    /// Sets one value last of all: `exporters::otlp_grpc::endpoint=host:4317`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Taken as the Collector takes it (`a,-b,+c`), with a note: these gates are about the Collector's own code.
    #[arg(long = "feature-gates", value_name = "GATES", value_delimiter = ',', allow_hyphen_values = true)]
    pub(crate) feature_gates: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Mode {
    Redacted,
    Unredacted,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    Yaml,
    Json,
}
