//! What a listener serves: one table at a time, replaced as a whole and read once a request.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use http::HeaderMap;
use throughline_component::{ComponentId, Fatal, Stop, Stopper};
use tokio_rustls::TlsAcceptor;

use super::{Generation, Handler, Route};
use crate::{Authenticator, Limits, ServerSettings};

/// The routes of a listener, and how it serves them.
pub(super) struct Table {
    pub(super) settings: ServerSettings,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) auth: Option<Arc<dyn Authenticator>>,
    pub(super) limits: Limits,
    /// Added to every reply.
    pub(super) added: HeaderMap,
    routes: HashMap<String, Owned>,
    /// Connections that began under these settings hear of it when others take their place.
    epoch: Arc<(Stopper, Stop)>,
}

/// A route in service.
#[derive(Clone)]
struct Owned {
    owner: ComponentId,
    token: u64,
    handler: Arc<dyn Handler>,
}

impl Table {
    pub(super) fn new(
        settings: &ServerSettings,
        auth: Option<Arc<dyn Authenticator>>,
    ) -> Result<Self, Fatal> {
        let tls = match settings.tls.as_ref() {
            Some(tls) => {
                Some(tls.config().map_err(|error| Fatal(format!("{}: {error}", settings.endpoint)))?)
            }
            None => None,
        };
        let added = settings.added_headers();
        Ok(Self {
            limits: settings.limits(),
            added: added.map_err(|error| Fatal(format!("{}: {error}", settings.endpoint)))?,
            settings: settings.clone(),
            tls: tls.map(TlsAcceptor::from),
            auth,
            routes: HashMap::new(),
            epoch: Arc::new(Stopper::new()),
        })
    }

    /// The handler of a path, and whose it is.
    pub(super) fn find(&self, path: &str) -> Option<(&ComponentId, &Arc<dyn Handler>)> {
        let below = || self.routes.iter().find(|(route, _)| is_below(path, route)).map(|(_, owned)| owned);
        self.routes.get(path).or_else(below).map(|owned| (&owned.owner, &owned.handler))
    }

    /// All paths, sorted.
    pub(super) fn paths(&self) -> BTreeSet<&str> {
        self.routes.keys().map(String::as_str).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Tells a connection that began under these settings that others are in force.
    pub(super) fn superseded(&self) -> Stop {
        self.epoch.1.clone()
    }

    /// Adds the routes of `owner`, which takes over paths that it owns already.
    ///
    /// # Errors
    /// Somebody else on this address has other settings, or one of the paths.
    pub(super) fn add(
        &mut self,
        new: Self,
        owner: &ComponentId,
        token: u64,
        routes: Vec<Route>,
    ) -> Result<(), Fatal> {
        let endpoint = &new.settings.endpoint;
        let foreign = self.routes.values().any(|owned| owned.owner != *owner);
        if foreign && new.settings != self.settings {
            let why = "shares the address with another component, but their server settings differ";
            return Err(Fatal(format!("{owner} on {endpoint}: it {why}")));
        }
        for Route { path, .. } in &routes {
            if let Some(owned) = self.routes.get(path).filter(|owned| owned.owner != *owner) {
                return Err(Fatal(format!("{owner} and {} both want {path} on {endpoint}", owned.owner)));
            }
        }
        let mut taken = std::mem::take(&mut self.routes);
        for Route { path, handler } in routes {
            taken.insert(path, Owned { owner: owner.clone(), token, handler });
        }
        let epoch = if self.serves_connections_like(&new) { Arc::clone(&self.epoch) } else { new.epoch };
        *self = Self { routes: taken, epoch, ..new };
        Ok(())
    }

    /// The same without the routes of `token`.
    pub(super) fn without(&self, token: u64) -> Self {
        let mut rest = self.share();
        rest.routes.retain(|_, owned| owned.token != token);
        rest
    }

    /// Whether some of its routes stay in service in a generation.
    pub(super) fn is_kept(&self, generation: &Generation) -> bool {
        self.routes.values().any(|owned| generation.keeps(&owned.owner))
    }

    /// The same with only the routes that stay in service in a generation.
    pub(super) fn kept(&self, generation: &Generation) -> Self {
        let mut kept = self.share();
        kept.routes.retain(|_, owned| generation.keeps(&owned.owner));
        kept
    }

    /// A copy; connections of both are of one epoch.
    pub(super) fn share(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            tls: self.tls.clone(),
            auth: self.auth.clone(),
            limits: self.limits,
            added: self.added.clone(),
            routes: self.routes.clone(),
            epoch: Arc::clone(&self.epoch),
        }
    }

    /// Whether a connection that began under these settings can go on under the others. All that concerns single requests is
    /// looked up with each of them.
    fn serves_connections_like(&self, other: &Self) -> bool {
        let of = |table: &Self| {
            let settings = &table.settings;
            (
                (
                    settings.tls.as_ref().cloned(),
                    settings.max_concurrent_streams,
                    settings.read_header_timeout,
                ),
                (settings.keepalive.clone(), settings.idle_timeout, settings.keep_alives_enabled),
            )
        };
        of(self) == of(other)
    }

    /// Takes the place of `old`. Connections of other settings are asked to end once they are through.
    pub(super) fn supersede(mut self, old: &Self) -> Self {
        if self.serves_connections_like(old) {
            self.epoch = Arc::clone(&old.epoch);
        } else {
            old.epoch.0.stop();
        }
        self
    }
}

/// Whether a path is below a route that ends in `/*`.
fn is_below(path: &str, route: &str) -> bool {
    route
        .strip_suffix('*')
        .is_some_and(|folder| folder.ends_with('/') && path.len() > folder.len() && path.starts_with(folder))
}
