use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

use super::*;

/// What components of a test did.
#[derive(Default)]
struct Recorder {
    running: AtomicU32,
    in_service: AtomicU32,
    starts: Mutex<Vec<Instant>>,
}

impl Recorder {
    /// After whatever goes on by itself.
    async fn counts(&self) -> (u32, u32) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        (self.running.load(Ordering::Relaxed), self.in_service.load(Ordering::Relaxed))
    }
}

struct Alive(Arc<Recorder>);

impl Alive {
    fn new(seen: &Arc<Recorder>) -> Self {
        seen.running.fetch_add(1, Ordering::Relaxed);
        seen.starts.lock().expect("no panic").push(Instant::now());
        Self(Arc::clone(seen))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs until it is told to stop.
async fn polite(seen: Arc<Recorder>, mut stop: Stop) -> Result<(), Fatal> {
    let alive = Alive::new(&seen);
    stop.ready();
    let all = stop.clone();
    tokio::select! {
        () = all.in_service() => drop(seen.in_service.fetch_add(1, Ordering::Relaxed)),
        () = stop.stopped() => return Ok(()),
    }
    stop.stopped().await;
    drop(alive);
    Ok(())
}

/// Hears nothing.
async fn deaf(seen: Arc<Recorder>, stop: Stop) -> Result<(), Fatal> {
    let _alive = Alive::new(&seen);
    stop.ready();
    std::future::pending().await
}

fn id(name: &str) -> ComponentId {
    ComponentId::new(name)
}

async fn with(names: &[&str], seen: &Arc<Recorder>) -> Supervisor {
    let mut supervisor = Supervisor::new(&Arc::default());
    for name in names {
        let seen = Arc::clone(seen);
        let run = move |stop| -> Result<Running, Fatal> { Ok(Box::pin(polite(Arc::clone(&seen), stop))) };
        supervisor.start(&id(name), run).await.expect("it starts");
    }
    supervisor
}

#[tokio::test(start_paused = true)]
async fn a_component_that_never_comes_into_service_is_given_up_after_a_while() {
    let mut supervisor = Supervisor::new(&Arc::default());
    let never = |_: Stop| -> Result<Running, Fatal> { Ok(Box::pin(std::future::pending())) };
    let error = supervisor.start(&id("slow"), never).await.expect_err("it never says that it is ready");
    assert_eq!(error.to_string(), "slow cannot start: it was not in service after 60s");
    supervisor.end().await;
}

#[tokio::test(start_paused = true)]
async fn components_are_ended_or_taken_over_one_by_one() {
    let seen = Arc::<Recorder>::default();
    let mut before = with(&["a", "b", "c"], &seen).await;
    assert!(before.has(&id("a")) && before.has(&id("c")) && !before.has(&id("d")));
    before.end_one(&id("a")).await;
    assert!(!before.has(&id("a")) && before.has(&id("b")));
    assert_eq!(seen.counts().await.0, 2);
    let mut after = with(&[], &seen).await;
    after.take_over(&mut before, |component| *component == id("b"));
    assert!(after.has(&id("b")) && !after.has(&id("c")) && !before.has(&id("b")) && before.has(&id("c")));
    before.end().await;
    assert_eq!(seen.counts().await.0, 1, "what was taken over runs on");
    after.end().await;
    assert_eq!(seen.counts().await.0, 0);
}

#[tokio::test(start_paused = true)]
async fn all_hear_when_the_whole_is_in_service_and_when_to_stop() {
    for (components, adopts) in [(&["a", "b"][..], false), (&[], true), (&["a"], true)] {
        let seen = Arc::<Recorder>::default();
        let mut supervisor = with(components, &seen).await;
        if adopts {
            let (seen, stop) = (Arc::clone(&seen), supervisor.stop().clone());
            supervisor.adopt(tokio::spawn(async move { drop(polite(seen, stop).await) }));
        }
        let all = components.len() as u32 + u32::from(adopts);
        assert_eq!(seen.counts().await, (all, 0));
        supervisor.in_service();
        assert_eq!(seen.counts().await, (all, all));
        assert!(supervisor.is_running());
        supervisor.say_stop();
        assert_eq!(seen.counts().await.0, 0);
        assert!(!supervisor.is_running());
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_listen_is_cut_off() {
    for (adopts, one) in [(true, false), (false, false), (false, true)] {
        let seen = Arc::<Recorder>::default();
        let mut supervisor = with(&[], &seen).await;
        let own = Arc::clone(&seen);
        if adopts {
            let stop = supervisor.stop().clone();
            supervisor.adopt(tokio::spawn(async move { drop(deaf(own, stop).await) }));
        } else {
            let run = move |stop| -> Result<Running, Fatal> { Ok(Box::pin(deaf(Arc::clone(&own), stop))) };
            supervisor.start(&id("deaf"), run).await.expect("it starts");
        }
        assert_eq!(seen.counts().await.0, 1);
        if one {
            supervisor.end_one(&id("deaf")).await;
        } else {
            supervisor.end().await;
        }
        assert_eq!(seen.counts().await.0, 0, "adopted: {adopts}, alone: {one}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_dies_is_restarted_ever_more_patiently_and_health_says_of_what_it_died() {
    let (seen, health) = (Arc::<Recorder>::default(), Arc::<Health>::default());
    health.started();
    let mut supervisor = Supervisor::new(&health);
    let own = Arc::clone(&seen);
    let run = move |stop: Stop| -> Result<Running, Fatal> {
        let own = Arc::clone(&own);
        Ok(Box::pin(async move {
            let alive = Alive::new(&own);
            stop.ready();
            tokio::time::sleep(Duration::from_millis(10)).await;
            let start = own.starts.lock().expect("no panic").len();
            drop(alive);
            match start {
                1 => Ok(()),
                2 => Err(Fatal("a port is gone".into())),
                _ => panic!("told to"),
            }
        }))
    };
    supervisor.start(&id("mortal"), run).await.expect("it starts");
    let mut said = Vec::new();
    while seen.starts.lock().expect("no panic").len() < 8 {
        let trouble = health.trouble(0, u64::MAX);
        if said.last() != Some(&trouble) {
            said.push(trouble);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let words = ["it ended although nobody told it to", "a port is gone", "it panicked: told to"];
    let dead = words.map(|why| Some(format!("mortal is dead: {why}")));
    assert_eq!(said[..6], [None, dead[0].clone(), None, dead[1].clone(), None, dead[2].clone()]);
    let starts = seen.starts.lock().expect("no panic").clone();
    let waits: Vec<u64> = starts.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    supervisor.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_ends_before_it_is_in_service_does_not_start() {
    for (ended, words) in [
        (Ok(()), "a cannot start: it ended before it was in service"),
        (Err(Fatal("no such port".into())), "a cannot start: no such port"),
    ] {
        let mut supervisor = Supervisor::new(&Arc::default());
        let mut ended = Some(ended);
        let run = move |_| -> Result<Running, Fatal> {
            let ended = ended.take().expect("it is not tried again");
            Ok(Box::pin(std::future::ready(ended)))
        };
        let error = supervisor.start(&id("a"), run).await.expect_err("it is not in service");
        assert_eq!((error.to_string().as_str(), supervisor.has(&id("a"))), (words, false));
    }
}

#[tokio::test]
async fn a_task_that_was_cut_off_did_not_panic() {
    let task = tokio::spawn(std::future::pending::<Result<(), Fatal>>());
    task.abort();
    assert_eq!(why(task.await).as_deref(), Some("it was cancelled"));
}
