//! Who wants which path on which address: what would stop the listeners of a configuration is found before any is opened.

use std::sync::{Mutex, MutexGuard, PoisonError};

use throughline_component::{Build, ComponentId, ConfigError};
use throughline_otlp::Signal;

use super::port;
use crate::ServerSettings;

/// A path, and the signal without which it is not served.
pub type ServedPath = (String, Option<Signal>);

/// What the components of one configuration want to serve. A service of the graph, of each configuration its own.
#[derive(Default)]
pub struct Addresses(Mutex<Vec<Claim>>);

struct Claim {
    owner: ComponentId,
    settings: ServerSettings,
    /// Where the settings of the server stand in those of the component: `protocols::grpc`.
    at: &'static str,
    paths: Vec<ServedPath>,
}

impl Addresses {
    /// Notes that the component that is being built serves `paths` as `settings` say, which stand at `at` in its own.
    pub fn note(cx: &Build, settings: &ServerSettings, at: &'static str, paths: Vec<ServedPath>) {
        let Some(addresses) = cx.services.get::<Self>() else { return };
        addresses.claims().push(Claim { owner: cx.id.clone(), settings: settings.clone(), at, paths });
    }

    /// Every component that cannot have what it wants, since one before it wants the same. `takes` says which components
    /// serve a signal.
    pub fn conflicts(&self, takes: impl Fn(&ComponentId, Signal) -> bool) -> Vec<(ComponentId, ConfigError)> {
        let claims = self.claims();
        let wants = |claim: &Claim, path: &str| {
            claim
                .paths
                .iter()
                .any(|(own, signal)| own == path && signal.is_none_or(|signal| takes(&claim.owner, signal)))
        };
        let mut conflicts = Vec::new();
        for (index, claim) in claims.iter().enumerate() {
            let before = claims[..index].iter().filter(|other| {
                other.owner != claim.owner
                    && other.settings.endpoint == claim.settings.endpoint
                    && port(&claim.settings.endpoint) != Some("0")
            });
            let problem = before.into_iter().find_map(|other| {
                let both = claim.paths.iter().find(|(path, _)| wants(claim, path) && wants(other, path));
                let endpoint = &claim.settings.endpoint;
                match both {
                    Some((path, _)) => Some(format!("`{}` has {path} on {endpoint} already", other.owner)),
                    None if other.settings != claim.settings => Some(format!(
                        "`{}` has {endpoint} with other server settings; whoever shares an address has the same",
                        other.owner
                    )),
                    None => None,
                }
            });
            conflicts.extend(problem.map(|problem| {
                let error = ConfigError::new("endpoint", problem);
                (
                    claim.owner.clone(),
                    claim.at.rsplit("::").filter(|at| !at.is_empty()).fold(error, ConfigError::under),
                )
            }));
        }
        conflicts
    }

    fn claims(&self) -> MutexGuard<'_, Vec<Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
