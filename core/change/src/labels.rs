//! The fifteen entity labels, and the attributes they are read from.
//!
//! Source: requirements LBL-01 to LBL-15; semantic conventions v1.44 for the inputs, which are left in place.

/// The entity labels, in the order of the requirement.
pub const LABELS: [&str; 15] = [
    "change_id",
    "commit_sha",
    "pull_request",
    "repository",
    "environment",
    "stack_id",
    "application",
    "cluster",
    "region",
    "account",
    "runner_pool",
    "policy_pack",
    "controller",
    "risk_tier",
    "owner_team",
];

/// The three labels that metrics carry in exemplars only: their values have no bound.
pub const UNBOUNDED: [&str; 3] = ["change_id", "commit_sha", "pull_request"];

/// Where a commit is named, best first.
pub const COMMIT: &[&str] = &["commit_sha", "vcs.ref.head.revision", "git.commit.sha"];
/// Where a pull request is named.
pub const PULL_REQUEST: &[&str] = &["pull_request", "vcs.change.id"];
/// Where a repository is named.
pub const REPOSITORY: &[&str] = &["repository", "vcs.repository.url.full"];

/// The bounded labels but for `repository`, and the attributes that they are copied from, best first: `(label, inputs)`.
pub const COPIED: &[(&str, &[&str])] = &[
    ("environment", &["deployment.environment.name", "deployment.environment"]),
    ("stack_id", &["stack", "tofu.stack", "terraform.workspace"]),
    ("application", &["argocd.application", "k8s.deployment.name"]),
    ("cluster", &["k8s.cluster.name"]),
    ("region", &["cloud.region"]),
    ("account", &["cloud.account.id"]),
    ("runner_pool", &["cicd.worker.pool"]),
    ("owner_team", &["owner"]),
    ("policy_pack", &[]),
    ("controller", &[]),
    ("risk_tier", &[]),
];

/// Text that is copied from a signal is cut behind so many bytes: a resource is told once, and copied for each of its records.
const LONGEST: usize = 1024;

/// As much of a text as is copied.
pub fn cut(text: &str) -> &str {
    let end = text.floor_char_boundary(LONGEST);
    throughline_otlp::steps::add(end);
    &text[..end]
}

/// Environments by their usual spellings, in any case.
const ENVIRONMENTS: [(&str, &[&str]); 3] = [
    ("production", &["prod", "prd", "production", "live"]),
    ("staging", &["stage", "stg", "staging"]),
    ("development", &["dev", "development"]),
];

/// One spelling for an environment (LBL-05, TRP-10): `prod` and `production` are one place.
pub fn environment(text: &str) -> &str {
    respelt_environment(text).unwrap_or(text)
}

/// The same, where the text has another.
pub fn respelt_environment(text: &str) -> Option<&'static str> {
    let fits = |spellings: &[&str]| spellings.iter().any(|spelling| spelling.eq_ignore_ascii_case(text));
    let (name, _) = ENVIRONMENTS.iter().find(|(_, spellings)| fits(spellings))?;
    (*name != text).then_some(*name)
}
