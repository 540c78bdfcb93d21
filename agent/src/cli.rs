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
    /// Without a subcommand, as with the Collector: `throughline --config a.yaml` means `throughline run --config a.yaml`.
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
  0  success
  1  it could not start, or had to stop because of an error
  2  the command line or the configuration is wrong; every mistake is printed with its place
  3  it stopped before everything in flight was delivered; the senders were told to send it again";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the agent until SIGTERM or SIGINT; SIGHUP reloads the configuration.
    ///
    /// On the first signal it drains: it accepts no more data and delivers what is in flight. A second signal ends
    /// it at once.
    #[command(after_help = EXIT_CODES)]
    Run(Inputs),
    /// Checks a configuration as `run` would, without opening ports or files.
    ///
    /// If only this machine does not fit the configuration (a missing directory or certificate, a port in use), a note is
    /// printed and the exit code is 0; with `--here` this is an error.
    Validate {
        #[command(flatten)]
        inputs: Inputs,
        /// Prints what would run: the processors that share one traversal of the data, the queues on disk, and where masking
        /// was added.
        #[arg(long)]
        graph: bool,
        /// Also fails if this machine does not fit the configuration.
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
        /// The format of the output.
        #[arg(long, value_enum, default_value = "yaml")]
        format: Format,
        /// Checks the configuration first; if it is wrong, prints the mistakes instead.
        #[arg(long)]
        validate: bool,
    },
    /// Runs the agent on this machine, sends it the traffic of one pull request, and prints a report of what came out.
    ///
    /// Starts `run` with the embedded `examples/quickstart.yaml` on free ports of the loopback interface, sends it signed
    /// GitHub deliveries and OTLP as the outside world would, and stays up for your own traffic until Ctrl-C. Nothing
    /// leaves the machine. All files are in one folder, whose name is printed at the end.
    Demo {
        /// Exits after the report.
        #[arg(long)]
        once: bool,
        /// Another number gives another repository, pull request, failing step and secret.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Where the files go; created if it does not exist. Default: `throughline-demo-SEED` in the temporary folder.
        #[arg(long, value_name = "FOLDER")]
        folder: Option<std::path::PathBuf>,
    },
    /// Lists the changes (pull requests and what comes from them) that a running agent knows: the state of each, what it waits
    /// for, since when.
    ///
    /// Needs the `changes` exporter in the agent's pipeline of domain events.
    Changes {
        #[command(flatten)]
        agent: Agent,
        #[command(flatten)]
        which: Which,
        /// Refreshes the list every two seconds, until Ctrl-C.
        #[arg(long)]
        watch: bool,
    },
    /// Prints what a running agent knows of one change: its stages, how long each waited and took, who did it, what was linked.
    Change {
        /// Its id, its key, the URL of its pull request, one of its commits (7 digits or more), or the end of its id
        /// (`infra-live#482`, `#482`).
        #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
        what: String,
        #[command(flatten)]
        agent: Agent,
    },
    /// Shows what waits on disk for each exporter, in a storage that no running agent uses.
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

/// The running agent to ask.
#[derive(Clone, Debug, Args)]
pub(crate) struct Agent {
    /// Its telemetry address (`service::telemetry::metrics`).
    #[arg(long, value_name = "ADDRESS", default_value = "http://localhost:8888")]
    pub(crate) agent: String,
    /// Prints the answer as JSON.
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
    /// Only changes that are not done and had no event for this long; 1h unless given: `--stuck=30m`.
    #[arg(
        long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "1h",
        value_parser = duration
    )]
    pub(crate) stuck: Option<String>,
    /// Only changes in this state: `waiting`, `running`, `failed` or `done`.
    #[arg(long, value_parser = PossibleValuesParser::new(State::ALL.map(State::as_str)))]
    pub(crate) state: Option<String>,
    /// Only changes with an event in this environment.
    #[arg(long)]
    pub(crate) environment: Option<String>,
    /// Only changes of this repository: its whole name, or the end of it.
    #[arg(long)]
    pub(crate) repository: Option<String>,
    /// How many to show; 100 unless given, 1000 at most.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: Option<u32>,
}

/// What to do with a storage.
#[derive(Debug, Subcommand)]
pub(crate) enum Queue {
    /// Lists what waits, by pipeline and exporter, and for how long nothing has read it.
    Ls,
    /// Discards what waits for one exporter; what waits for others stays.
    Drop {
        /// The exporter, as the configuration spells it, or `(unknown)`.
        destination: String,
        /// Only in this stream (a pipeline's queue, as `ls` names it).
        #[arg(long)]
        stream: Option<String>,
    },
    /// Discards the stored state of a component, so that it begins with an empty one.
    Forget {
        /// The component's kind and id: `processor change`.
        component: String,
    },
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Args)]
pub(crate) struct Inputs {
    /// A configuration: a path, `file:PATH`, `env:NAME` or `yaml:TEXT`. May be repeated; later ones take precedence: maps are
    /// merged, lists and scalars replaced.
    #[arg(long = "config", value_name = "LOCATION", required = true)]
    pub(crate) config: Vec<String>,
    /// Sets one value, after all `--config`: `exporters::otlp_grpc::endpoint=host:4317`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Accepted in the Collector's form (`a,-b,+c`) and ignored with a note: these gates concern the Collector's own code.
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
