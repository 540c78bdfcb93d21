//! Pages that components add to the agent's telemetry endpoint.

use std::sync::{Mutex, PoisonError};

use throughline_component::{ComponentId, ConfigError};

use crate::Route;

/// The pages of one configuration, beside `/metrics`. A service: components find it in `Build`.
#[derive(Default)]
pub struct TelemetryRoutes(Mutex<Vec<(ComponentId, Route)>>);

impl TelemetryRoutes {
    /// Adds a page of component `owner`; one that it added before is replaced.
    ///
    /// # Errors
    /// Another component has a page there.
    pub fn add(&self, owner: &ComponentId, route: Route) -> Result<(), ConfigError> {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = routes.iter().position(|(_, other)| other.path == route.path);
        match place.map(|place| &mut routes[place]) {
            None => routes.push((owner.clone(), route)),
            Some((other, own)) if other == owner => *own = route,
            Some((other, _)) => {
                let why = format!("{other} serves {} already; give one of them to all pipelines", route.path);
                return Err(ConfigError::new("", why));
            }
        }
        Ok(())
    }

    /// All pages.
    pub fn all(&self) -> Vec<Route> {
        let routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        routes.iter().map(|(_, route)| route.clone()).collect()
    }
}
