use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use throughline_component::Context;
use throughline_component::port::SystemRandom;
use throughline_queue::{Polled, Ports, Settings};
use throughline_testkit::{FakeClock, LossyDisk};

use super::*;

fn chunk() -> Chunk {
    let context = Arc::new(Context::internal(ComponentId::new("test"), 0));
    Chunk { bytes: Bytes::from(vec![b'x'; 100]), items: 1, position: None, context, settle: Settle::nobody() }
}

#[tokio::test]
async fn a_storage_that_refused_is_ready_again_once_it_has_room_although_no_sender_comes() {
    let clock = Arc::<FakeClock>::default();
    let ports = Ports {
        disk: Arc::new(LossyDisk::default()),
        clock: Arc::<FakeClock>::clone(&clock),
        random: Arc::new(SystemRandom::default()),
    };
    let settings =
        Settings { create_directory: true, quota: Some(8000), ..Settings::new(PathBuf::from("/log")) };
    let log = Arc::new(Log::open_still(ports, settings).expect("a sound disk"));
    let number = log.stream("logs").expect("the only one");
    log.subscribe(number, "otlp").expect("a sound disk");
    let health = Arc::<Health>::default();
    health.started();
    let intake = Arc::new(Intake {
        part: "storage file_storage".into(),
        hop: Arc::default(),
        health: Arc::clone(&health),
        warnings: Arc::new(Warnings::new(Arc::<FakeClock>::clone(&clock))),
        refusing: AtomicBool::new(false),
    });
    let (new, metadata) = (Vec::new(), Vec::new());
    let stream = Stream { log: Arc::clone(&log), name: "logs".into(), number, new, metadata, intake };
    let trouble = || health.trouble(0, u64::MAX);
    for _ in 0..100 {
        stream.append(Signal::Logs, chunk());
        log.flush_group();
    }
    assert!(trouble().is_some_and(|why| why.contains("storage file_storage refuses everything")));
    clock.advance(Duration::from_secs(2));
    log.flush_group();
    assert!(trouble().is_some(), "there is no room yet");
    let mut reader = log.reader(number, "otlp").await.expect("it has subscribed");
    loop {
        match reader.poll() {
            Polled::Record(delivered) => delivered.ack.done(),
            Polled::Load => reader.load().expect("the disk is sound"),
            Polled::Wait => break,
        }
    }
    clock.advance(Duration::from_secs(1));
    log.flush_group();
    log.flush_group();
    assert_eq!(trouble(), None);
}
