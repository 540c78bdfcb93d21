//! What a component finds around it while it is built.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use throughline_config::{Kind, did_you_mean};

use crate::port::{Clock, Journals, Random};
use crate::{ComponentId, ConfigError, Counter, Histogram, MachineCheck, Meter, States, Warnings};

/// What a component may use. Services are found by type, so that this crate names none of them.
#[derive(Clone)]
pub struct Build {
    /// The component's own id.
    pub id: ComponentId,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Listeners, budgets, storage, authenticators …
    pub services: Services,
}

impl Build {
    /// What stands for the component where components of all kinds meet: `processor change`. Two kinds may have one id.
    pub fn key(&self) -> ComponentId {
        match self.services.get::<Kind>() {
            Some(kind) => ComponentId::new(&format!("{} {}", kind.as_str(), self.id)),
            None => self.id.clone(),
        }
    }

    /// A counter of this component, see [`Meter::counter`].
    pub fn counter(&self, name: &str, label: Option<(&str, &str)>) -> Counter {
        self.services.get::<Meter>().map(|meter| meter.counter(name, &self.id, label)).unwrap_or_default()
    }

    /// A histogram of this component, see [`Meter::histogram`].
    pub fn histogram(&self, name: &str, bounds: &[u64]) -> Histogram {
        self.services.get::<Meter>().map(|meter| meter.histogram(name, &self.id, bounds)).unwrap_or_default()
    }

    /// Lets pass what is wrong on this machine only, if the component is built to be validated; it must do without then.
    ///
    /// # Errors
    /// The error itself, if the component is built to be run, or the settings are wrong everywhere.
    pub fn excuse(&self, error: ConfigError) -> Result<(), ConfigError> {
        match self.services.get::<MachineCheck>() {
            Some(check) if error.here => {
                check.note(error);
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// The same for a block of the component's options, so that what is wrong with this machine is told with the whole path.
    #[must_use]
    pub fn within(&self, path: &str) -> Self {
        let mut cx = self.clone();
        if let Some(check) = self.services.get::<MachineCheck>() {
            cx.services.offer(Arc::new(check.within(path)));
        }
        cx
    }

    /// Looks at this machine if the component is built to be validated. A component that is run finds out by itself.
    pub fn look(&self, look: impl FnOnce() -> Result<(), ConfigError>) {
        if let Some(check) = self.services.get::<MachineCheck>()
            && let Err(problem) = look()
        {
            check.note(problem);
        }
    }

    /// What gives warnings, once a minute each.
    pub fn warnings(&self) -> Arc<Warnings> {
        self.services.get().unwrap_or_else(|| Arc::new(Warnings::new(Arc::clone(&self.clock))))
    }

    /// A service that the component cannot do without; `what` is its name in the error.
    ///
    /// # Errors
    /// Nobody offers it.
    pub fn need<T: ?Sized + Send + Sync + 'static>(&self, what: &str) -> Result<Arc<T>, ConfigError> {
        self.services.get().ok_or_else(|| ConfigError::new("", format!("the graph offers no {what}")))
    }

    /// The storage extension of this id, which the option at `path` names.
    ///
    /// # Errors
    /// There is none in service.
    pub fn storage(&self, path: &str, id: &str) -> Result<Arc<dyn Journals>, ConfigError> {
        self.services.named::<dyn Journals>(id).ok_or_else(|| {
            let near = did_you_mean(id, self.services.names::<dyn Journals>());
            ConfigError::new(path, format!("no storage extension `{id}` is in `service::extensions`{near}"))
        })
    }

    /// The state of this component, see [`States::get_or_try`].
    ///
    /// # Errors
    /// What `make` answers.
    pub fn state<T, E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E>
    where
        T: Send + Sync + 'static,
    {
        match self.services.get::<States>() {
            Some(states) => states.get_or_try(&self.id, make),
            None => make().map(Arc::new),
        }
    }
}

/// A typed map of services: at most one of a type, or one of a type under each component id.
#[derive(Clone, Default)]
pub struct Services {
    map: HashMap<(TypeId, Option<ComponentId>), Arc<dyn Any + Send + Sync>>,
}

impl Services {
    /// Offers the only service of its type.
    pub fn offer<T: ?Sized + Send + Sync + 'static>(&mut self, service: Arc<T>) {
        self.map.insert((TypeId::of::<T>(), None), Arc::new(service));
    }

    /// Offers a service under the id of the extension that provides it.
    pub fn offer_as<T: ?Sized + Send + Sync + 'static>(&mut self, id: ComponentId, service: Arc<T>) {
        self.map.insert((TypeId::of::<T>(), Some(id)), Arc::new(service));
    }

    /// The only service of a type.
    pub fn get<T: ?Sized + Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.map.get(&(TypeId::of::<T>(), None))?.downcast_ref::<Arc<T>>().cloned()
    }

    /// The service of a type that extension `id` offers.
    pub fn named<T: ?Sized + Send + Sync + 'static>(&self, id: &str) -> Option<Arc<T>> {
        let key = (TypeId::of::<T>(), Some(ComponentId::new(id)));
        self.map.get(&key)?.downcast_ref::<Arc<T>>().cloned()
    }

    /// The ids under which a type is offered.
    pub fn names<T: ?Sized + Send + Sync + 'static>(&self) -> impl Iterator<Item = &str> {
        let offered = self.map.keys().filter(|(offered, _)| *offered == TypeId::of::<T>());
        offered.filter_map(|(_, id)| id.as_ref().map(ComponentId::as_str))
    }

    /// Takes over everything another map offers.
    pub fn merge(&mut self, other: Self) {
        self.map.extend(other.map);
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Services({})", self.map.len())
    }
}

impl fmt::Debug for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Build").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::port::{NoopJournals, SystemClock, SystemRandom};
    use crate::{Reading, Value};

    /// A component that finds nothing around it.
    pub(crate) fn bare(id: &str) -> Build {
        let (clock, random) = (Arc::new(SystemClock::default()), Arc::new(SystemRandom::default()));
        Build { id: ComponentId::new(id), clock, random, services: Services::default() }
    }

    #[test]
    fn what_a_component_counts_is_on_the_meter_if_there_is_one() {
        let mut cx = bare("github");
        cx.counter("throughline_deliveries", None).add(1);
        cx.histogram("throughline_sizes", &[10]).record(1);
        let meter = Arc::new(Meter::default());
        cx.services.offer(Arc::clone(&meter));
        cx.counter("throughline_deliveries", None).add(2);
        cx.histogram("throughline_sizes", &[10]).record(3);
        let reading = |name: &str, value| {
            let labels = "component=\"github\"".to_owned();
            Reading { name: name.to_owned(), labels, value }
        };
        let sizes = Value::Distribution { buckets: vec![(10, 1)], count: 1, sum: 3 };
        let expected =
            [reading("throughline_deliveries", Value::Count(2)), reading("throughline_sizes", sizes)];
        assert_eq!(meter.read(), expected);
    }

    #[test]
    fn what_this_machine_lacks_is_excused_where_a_file_is_validated_and_nothing_else_is() {
        let lacks = || ConfigError::here("path", "there is no such directory");
        let mut cx = bare("file");
        assert!(cx.excuse(lacks()).is_err());
        cx.look(|| panic!("a component that is run finds out by itself"));
        let check = Arc::new(MachineCheck::default());
        cx.services.offer(Arc::clone(&check));
        assert!(cx.excuse(lacks()).is_ok());
        assert!(cx.excuse(ConfigError::new("path", "wrong everywhere")).is_err());
        cx.look(|| Ok(()));
        cx.look(|| Err(ConfigError::here("endpoint", "the port is taken")));
        let noted = check.take();
        assert_eq!(noted.iter().map(|error| &*error.path[0]).collect::<Vec<_>>(), ["path", "endpoint"]);
        assert!(check.take().is_empty(), "it is told once");
        let block = cx.within("protocols").within("http");
        block.look(|| Err(ConfigError::here("endpoint", "the port is taken")));
        assert!(block.excuse(ConfigError::here("tls::cert_file", "it is not there")).is_ok());
        let told: Vec<String> = check.take().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "protocols::http::endpoint: the port is taken",
                "protocols::http::tls::cert_file: it is not there"
            ]
        );
    }

    #[test]
    fn services_are_found_by_their_type_and_id_and_never_by_another() {
        let mut services = Services::default();
        services.offer::<u8>(Arc::new(1));
        services.offer_as::<u8>(ComponentId::new("a"), Arc::new(2));
        services.offer_as::<u16>(ComponentId::new("b"), Arc::new(3));
        let mut others = Services::default();
        others.offer_as::<u8>(ComponentId::new("c"), Arc::new(4));
        services.merge(others);
        assert_eq!(services.get::<u8>().as_deref(), Some(&1));
        assert_eq!(services.get::<u16>(), None);
        assert_eq!(services.named::<u8>("a").as_deref(), Some(&2));
        assert_eq!(services.named::<u8>("b"), None);
        assert_eq!(services.named::<u8>("c").as_deref(), Some(&4));
        let mut names: Vec<_> = services.names::<u8>().collect();
        names.sort_unstable();
        assert_eq!(names, ["a", "c"]);
    }

    #[test]
    fn what_nobody_offers_is_an_error_that_names_it_and_what_is_near() {
        let mut cx = bare("file");
        assert_eq!(cx.need::<u8>("number").unwrap_err().message, "the graph offers no number");
        cx.services.offer::<u8>(Arc::new(1));
        assert!(cx.need::<u8>("number").is_ok());
        cx.services.offer_as::<dyn Journals>(ComponentId::new("file_storage"), Arc::new(NoopJournals));
        assert!(cx.storage("storage", "file_storage").is_ok());
        let Err(error) = cx.storage("queue::storage", "file_storag") else { panic!("nobody offers it") };
        assert_eq!(error.path, ["queue", "storage"]);
        assert!(error.message.contains("`file_storage`"), "{error}");
    }

    #[test]
    fn components_of_two_kinds_may_have_one_id() {
        let mut cx = bare("change");
        assert_eq!(cx.key().as_str(), "change");
        cx.services.offer(Arc::new(Kind::Processor));
        assert_eq!(cx.key().as_str(), "processor change");
    }

    #[test]
    fn state_is_shared_by_all_who_have_one_id_if_somebody_keeps_it() {
        let mut cx = bare("change");
        let state = |cx: &Build| cx.state(|| Ok::<_, ()>(7_u8)).expect("it is made");
        assert!(!Arc::ptr_eq(&state(&cx), &state(&cx)));
        cx.services.offer(Arc::new(States::default()));
        assert!(Arc::ptr_eq(&state(&cx), &state(&cx)));
    }

    #[test]
    fn all_components_share_what_gives_warnings() {
        let mut cx = bare("change");
        let warnings = Arc::new(Warnings::new(Arc::clone(&cx.clock)));
        cx.services.offer(Arc::clone(&warnings));
        assert!(Arc::ptr_eq(&cx.warnings(), &warnings));
    }
}
