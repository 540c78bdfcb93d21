//! Listeners outlive the components behind them: a reload swaps routes, never the socket.
//!
//! A configuration opens what it needs in a *generation* of its own, beside what is in service, and nothing changes for
//! anybody until [`Listeners::commit`]: then all its routes serve at once, and those it does not have are gone.

mod addresses;
mod allowance;
mod connection;
mod socket;
mod table;

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use throughline_component::port::Budget;
use throughline_component::{ComponentId, Fatal, Meter, Stop, Stopper, Warnings};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::peer::Peers;
use crate::refusals::Refusals;
use crate::{Authenticator, Body, Request, ServerSettings};
pub use addresses::{Addresses, ServedPath};
use allowance::Pools;
use connection::accept;
use table::Table;

/// A reply with its body in full.
pub type Reply = http::Response<Body>;

/// Answers the requests of one route.
pub trait Handler: Send + Sync {
    /// Answers one request.
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>>;
}

/// A path and who answers there.
#[derive(Clone)]
pub struct Route {
    /// The exact path, `/v1/traces`, or all that is below one, `/changes/*`.
    pub path: String,
    /// PeerContext answers.
    pub handler: Arc<dyn Handler>,
}

/// How many connections health and self-telemetry may have open, half of them each; their descriptors are nobody else's.
pub const ASIDE: usize = 64;
/// What connections may have together in buffers where there is no budget.
const UNBOUNDED: usize = 64 << 20;

/// All listeners of the process, by address, as one configuration sees them. A service of the graph: components find it in
/// `Build`.
pub struct Listeners {
    process: Arc<Process>,
    generation: Arc<Generation>,
}

/// What listeners use of the process.
pub struct Resources {
    /// Where what they refuse is counted.
    pub meter: Arc<Meter>,
    /// And told.
    pub warnings: Arc<Warnings>,
    /// What requests and unread replies are charged to.
    pub budget: Option<Arc<Budget>>,
    /// How many connections may be open at once for data.
    pub connections: usize,
    /// The runtime of health and self-telemetry, so that they answer whatever the data does.
    pub aside: Option<Handle>,
}

impl Resources {
    /// Without bounds, and on one runtime.
    pub fn unbounded(meter: Arc<Meter>, warnings: Arc<Warnings>) -> Self {
        Self { meter, warnings, budget: None, connections: usize::MAX, aside: None }
    }
}

/// What all generations share.
struct Process {
    open: Mutex<HashMap<String, Arc<Listener>>>,
    meter: Arc<Meter>,
    warnings: Arc<Warnings>,
    budget: Option<Arc<Budget>>,
    aside: Option<Handle>,
    peers: Peers,
    pools: Pools,
    /// One for each connection that the process may have open for data, and for what is served aside.
    descriptors: [Arc<Semaphore>; 2],
    /// Nobody waits for an answer any more.
    cut_short: (Stopper, Stop),
}

/// The components of one configuration.
struct Generation {
    number: u64,
    /// What they open serves at once.
    committed: AtomicBool,
    /// Components whose routes stay in service as they are.
    kept: OnceLock<BTreeSet<ComponentId>>,
}

impl Generation {
    fn new(number: u64, committed: bool) -> Arc<Self> {
        Arc::new(Self { number, committed: AtomicBool::new(committed), kept: OnceLock::new() })
    }

    fn keeps(&self, owner: &ComponentId) -> bool {
        self.kept.get().is_some_and(|kept| kept.contains(owner))
    }
}

struct Listener {
    process: Arc<Process>,
    endpoint: String,
    /// PeerContext opened it.
    owner: ComponentId,
    /// On the account of who opened it: of some requests nobody knows whom they were meant for.
    refusals: Refusals,
    runtime: Handle,
    is_aside: bool,
    serving: RwLock<ServedRoutes>,
    socket: Mutex<Socket>,
    /// Connections end with the listener.
    stopper: Stopper,
    stop: Stop,
}

/// What a listener serves, and what it will.
struct ServedRoutes {
    now: Arc<Table>,
    /// What a generation that is not committed will serve.
    staged: Option<(u64, Table)>,
    /// Paths that were served once and are not now.
    gone: BTreeSet<String>,
}

/// The socket of a listener.
enum Socket {
    /// One of our own listeners, which is about to go, has the port: it is bound when that one has let go of it.
    Deferred,
    /// Bound; connections wait in the kernel's queue.
    Bound(TcpListener, SocketAddr),
    Accepting(SocketAddr, Stopper, JoinHandle<()>),
}

/// Routes in service. Dropping it takes them out again, unless a successor has taken them over; the listener closes
/// with its last route.
pub struct Serving {
    process: Arc<Process>,
    key: String,
    token: u64,
    address: SocketAddr,
}

impl Listeners {
    /// None yet; what is opened through this one serves at once.
    pub fn new(resources: Resources) -> Self {
        let Resources { meter, warnings, budget, connections, aside } = resources;
        let pool = budget.as_ref().map_or(UNBOUNDED, |budget| budget.limit().saturating_mul(2));
        let process = Process {
            open: Mutex::default(),
            meter,
            warnings,
            budget,
            aside,
            peers: Peers::default(),
            pools: Pools::new(pool),
            descriptors: [connections, ASIDE]
                .map(|count| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)))),
            cut_short: Stopper::new(),
        };
        Self { process: Arc::new(process), generation: Generation::new(0, true) }
    }

    /// The listeners for another configuration: what is opened through them serves once they are committed.
    #[must_use]
    pub fn next(&self) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { process: Arc::clone(&self.process), generation: Generation::new(number, false) }
    }

    /// What these components have opened stays in service in this configuration too: they are not started anew. To be said once,
    /// before anything is opened.
    pub fn keep(&self, owners: BTreeSet<ComponentId>) {
        drop(self.generation.kept.set(owners));
    }

    /// Answers all requests that still wait for their answer: 503 or UNAVAILABLE, so that their senders keep the data. For a process
    /// that ends before it could deliver.
    pub fn cut_short(&self) {
        self.process.cut_short.0.stop();
    }

    /// Puts `routes` of component `owner` on `settings.endpoint`, and opens the listener unless it is open already. Several
    /// components of a configuration share an address if their server settings are equal and their paths differ; a
    /// component that opens a path it already owns takes it over from its former self.
    ///
    /// # Errors
    /// The address cannot be had, the settings differ from a sharer's, or a path is taken.
    pub async fn open(
        &self,
        settings: &ServerSettings,
        auth: Option<Arc<dyn Authenticator>>,
        owner: &ComponentId,
        routes: Vec<Route>,
    ) -> Result<Serving, Fatal> {
        self.open_on((Handle::current(), false), settings, auth, owner, routes).await
    }

    /// The same for what must answer whatever the data does: health, and the agent's own metrics.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_aside(
        &self,
        settings: &ServerSettings,
        auth: Option<Arc<dyn Authenticator>>,
        owner: &ComponentId,
        routes: Vec<Route>,
    ) -> Result<Serving, Fatal> {
        let runtime = self.process.aside.clone().unwrap_or_else(Handle::current);
        self.open_on((runtime, true), settings, auth, owner, routes).await
    }

    async fn open_on(
        &self,
        (runtime, aside): (Handle, bool),
        settings: &ServerSettings,
        auth: Option<Arc<dyn Authenticator>>,
        owner: &ComponentId,
        routes: Vec<Route>,
    ) -> Result<Serving, Fatal> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let token = NEXT.fetch_add(1, Ordering::Relaxed);
        let key = self.process.key(settings, owner, &routes);
        let table = Table::new(settings, auth)?;
        let existing = self.process.open().get(&key).cloned();
        let (listener, fresh) = match existing {
            Some(listener) => (listener, false),
            None => {
                let socket = self.process.bind(&runtime, &settings.endpoint).await?;
                let place = (runtime, aside);
                let listener = Arc::new(Listener::new(&self.process, place, settings, owner, socket)?);
                self.process.open().insert(key.clone(), Arc::clone(&listener));
                (listener, true)
            }
        };
        let path = routes.first().map(|route| route.path.clone()).unwrap_or_default();
        let added = listener.add(table, owner, token, routes, &self.generation);
        if added.is_err() && fresh {
            self.process.open().remove(&key);
        }
        added?;
        let serving = Serving { process: Arc::clone(&self.process), key, token, address: listener.address() };
        if fresh {
            tracing::info!(component = %owner, address = %listener.address(), path, "listening");
        }
        if self.generation.committed.load(Ordering::Acquire) {
            listener.accept();
        }
        Ok(serving)
    }

    /// Puts everything that was opened through these listeners into service, in place of what served before.
    ///
    /// # Errors
    /// A port that one of our own listeners gave up cannot be had; then everything is as it was.
    pub async fn commit(&self) -> Result<(), Fatal> {
        let number = self.generation.number;
        let listeners: Vec<Arc<Listener>> = self.process.open().values().cloned().collect();
        let (ours, others): (Vec<_>, Vec<_>) =
            listeners.into_iter().partition(|listener| listener.is_staged(number));
        let mut paused = Vec::new();
        for listener in ours.iter().filter(|listener| listener.is_deferred()) {
            for other in others.iter().filter(|other| port(&other.endpoint) == port(&listener.endpoint)) {
                if other.table().is_kept(&self.generation) {
                    let error = std::io::Error::from(std::io::ErrorKind::AddrInUse);
                    return Err(cannot_listen(&listener.endpoint, &error));
                }
                if let Some(address) = other.pause().await {
                    paused.push((Arc::clone(other), address));
                }
            }
            if let Err(error) = listener.bind().await {
                for (listener, address) in paused {
                    listener.resume(address).await;
                }
                return Err(error);
            }
        }
        ours.iter().for_each(|listener| listener.switch(number));
        self.generation.committed.store(true, Ordering::Release);
        ours.iter().for_each(|listener| listener.accept());
        Ok(())
    }
}

impl Process {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Listener>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listeners are told apart by their address. With port 0 every owner has as many as it opens, and finds the one again that
    /// has, or had, one of its routes, whatever becomes of the others.
    fn key(&self, settings: &ServerSettings, owner: &ComponentId, routes: &[Route]) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let endpoint = &settings.endpoint;
        if port(endpoint) != Some("0") {
            return endpoint.clone();
        }
        let is_known = |listener: &Listener| {
            let own = listener.endpoint == *endpoint && listener.owner == *owner;
            own && routes.iter().any(|route| listener.knows(&route.path))
        };
        let open = self.open();
        let known = open.iter().find(|(_, listener)| is_known(listener)).map(|(key, _)| key.clone());
        known.unwrap_or_else(|| format!("{endpoint} {}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// Binds the address, unless one of our own listeners has its port under another name.
    async fn bind(&self, runtime: &Handle, endpoint: &str) -> Result<Socket, Fatal> {
        match bind_on(runtime, endpoint).await {
            Ok((socket, address)) => Ok(Socket::Bound(socket, address)),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                let ours = self.open().values().any(|other| port(&other.endpoint) == port(endpoint));
                if ours { Ok(Socket::Deferred) } else { Err(cannot_listen(endpoint, &error)) }
            }
            Err(error) => Err(cannot_listen(endpoint, &error)),
        }
    }
}

fn cannot_listen(endpoint: &str, error: &std::io::Error) -> Fatal {
    Fatal(format!("cannot listen on {endpoint}: {error}"))
}

/// A socket belongs to the runtime that it is made in.
async fn bind_on(runtime: &Handle, endpoint: &str) -> std::io::Result<(TcpListener, SocketAddr)> {
    let endpoint = endpoint.to_owned();
    let bound = runtime.spawn(async move {
        let socket = bind(&endpoint).await?;
        let address = socket.local_addr()?;
        Ok((socket, address))
    });
    bound.await.map_err(std::io::Error::other)?
}

/// Binds the address; one without a host is every interface, of both families where the machine has both.
async fn bind(endpoint: &str) -> std::io::Result<TcpListener> {
    match endpoint.strip_prefix(':') {
        None => TcpListener::bind(endpoint).await,
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
            bound => bound,
        },
    }
}

fn port(endpoint: &str) -> Option<&str> {
    endpoint.rsplit_once(':').map(|(_, port)| port)
}

impl Listener {
    fn new(
        process: &Arc<Process>,
        (runtime, is_aside): (Handle, bool),
        settings: &ServerSettings,
        owner: &ComponentId,
        socket: Socket,
    ) -> Result<Self, Fatal> {
        let (stopper, stop) = Stopper::new();
        let now = Arc::new(Table::new(settings, None)?);
        Ok(Self {
            process: Arc::clone(process),
            endpoint: settings.endpoint.clone(),
            owner: owner.clone(),
            refusals: Refusals::new(&process.meter, &process.warnings, owner),
            runtime,
            is_aside,
            serving: RwLock::new(ServedRoutes { now, staged: None, gone: BTreeSet::new() }),
            socket: Mutex::new(socket),
            stopper,
            stop,
        })
    }

    /// One for each connection that it, and those like it, may have open.
    fn descriptors(&self) -> Arc<Semaphore> {
        Arc::clone(&self.process.descriptors[usize::from(self.is_aside)])
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.serving.read().unwrap_or_else(PoisonError::into_inner).now)
    }

    /// Whether it serves a path, will, or once did.
    fn knows(&self, path: &str) -> bool {
        let serves = self.serving.read().unwrap_or_else(PoisonError::into_inner);
        let staged = serves.staged.as_ref().is_some_and(|(_, table)| table.find(path).is_some());
        staged || serves.now.find(path).is_some() || serves.gone.contains(path)
    }

    fn has_served(&self, path: &str) -> bool {
        self.serving.read().unwrap_or_else(PoisonError::into_inner).gone.contains(path)
    }

    /// The address that is listened on; unspecified as long as that is not known.
    fn address(&self) -> SocketAddr {
        match &*self.socket() {
            Socket::Bound(_, address) | Socket::Accepting(address, ..) => *address,
            Socket::Deferred => self.endpoint.parse().unwrap_or_else(|_| SocketAddr::from(([0; 4], 0))),
        }
    }

    fn socket(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(
        &self,
        new: Table,
        owner: &ComponentId,
        token: u64,
        routes: Vec<Route>,
        generation: &Generation,
    ) -> Result<(), Fatal> {
        let mut serves = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        if generation.committed.load(Ordering::Acquire) {
            let mut table = serves.now.share();
            let paths: Vec<String> = routes.iter().map(|route| route.path.clone()).collect();
            table.add(new, owner, token, routes)?;
            serves.gone.retain(|path| !paths.contains(path));
            serves.now = Arc::new(table.supersede(&serves.now));
            return Ok(());
        }
        let now = Arc::clone(&serves.now);
        match &mut serves.staged {
            Some((number, table)) if *number == generation.number => table.add(new, owner, token, routes),
            staged => {
                let mut table = if now.is_kept(generation) {
                    now.kept(generation)
                } else {
                    Table::new(&new.settings, new.auth.clone())?
                };
                table.add(new, owner, token, routes)?;
                *staged = Some((generation.number, table));
                Ok(())
            }
        }
    }

    fn is_staged(&self, generation: u64) -> bool {
        let serves = self.serving.read().unwrap_or_else(PoisonError::into_inner);
        serves.staged.as_ref().is_some_and(|(number, _)| *number == generation)
    }

    /// What was staged serves from now on.
    fn switch(&self, generation: u64) {
        let mut serves = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        let Some((_, table)) = serves.staged.take_if(|(number, _)| *number == generation) else { return };
        let before: BTreeSet<String> = serves.now.paths().into_iter().map(str::to_owned).collect();
        serves.gone.extend(before);
        serves.gone.retain(|path| table.find(path).is_none());
        serves.now = Arc::new(table.supersede(&serves.now));
    }

    /// Takes out the routes of `token`; says whether any are left, or to come.
    fn remove(&self, token: u64) -> bool {
        let mut serves = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((number, table)) = serves.staged.take() {
            let rest = table.without(token);
            serves.staged = (!rest.is_empty()).then_some((number, rest));
        }
        let rest = serves.now.without(token);
        let gone: Vec<String> =
            serves.now.paths().difference(&rest.paths()).map(ToString::to_string).collect();
        serves.gone.extend(gone);
        serves.now = Arc::new(rest);
        !serves.now.is_empty() || serves.staged.is_some()
    }

    fn is_deferred(&self) -> bool {
        matches!(*self.socket(), Socket::Deferred)
    }

    async fn bind(&self) -> Result<(), Fatal> {
        let bound = bind_on(&self.runtime, &self.endpoint).await;
        let (socket, address) = bound.map_err(|error| cannot_listen(&self.endpoint, &error))?;
        *self.socket() = Socket::Bound(socket, address);
        Ok(())
    }

    /// Accepts connections, if it does not yet.
    fn accept(self: &Arc<Self>) {
        let mut slot = self.socket();
        *slot = match std::mem::replace(&mut *slot, Socket::Deferred) {
            Socket::Bound(socket, address) => {
                let (stopper, stop) = Stopper::new();
                let task = self.runtime.spawn(accept(socket, Arc::clone(self), stop));
                Socket::Accepting(address, stopper, task)
            }
            other => other,
        };
    }

    /// Closes the socket, not the connections; says where it was.
    async fn pause(&self) -> Option<SocketAddr> {
        let before = std::mem::replace(&mut *self.socket(), Socket::Deferred);
        match before {
            Socket::Accepting(address, stopper, task) => {
                stopper.stop();
                drop(task.await);
                Some(address)
            }
            Socket::Bound(_, address) => Some(address),
            Socket::Deferred => None,
        }
    }

    /// Takes the port back.
    async fn resume(self: &Arc<Self>, address: SocketAddr) {
        match bind_on(&self.runtime, &address.to_string()).await {
            Ok((socket, address)) => {
                *self.socket() = Socket::Bound(socket, address);
                self.accept();
            }
            Err(error) => tracing::error!(%address, %error, "the port that was given up cannot be had back"),
        }
    }

    fn close(&self) {
        self.stopper.stop();
        if let Socket::Accepting(_, stopper, _) = &*self.socket() {
            stopper.stop();
        }
    }
}

impl Serving {
    /// The address that is really listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let mut open = self.process.open();
        let Some(listener) = open.get(&self.key) else { return };
        if !listener.remove(self.token) {
            listener.close();
            open.remove(&self.key);
        }
    }
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.process.open().keys()).finish()
    }
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Serving({})", self.address)
    }
}
