//! What the agent itself has to tell, as log records: components post notices, this receiver emits them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_component::port::Charge;
use throughline_component::{
    Build, ConfigError, Context, Factory, Fatal, Internal, Notice, Outcome, Output, Receiver, Stop,
};
use throughline_otlp::{Signal, Value, build};

pub(crate) const FACTORY: Factory = Factory::receiver::<Notices>("internal");

/// Emits events of the agent itself as log records, such as a change that was renamed.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {}

pub(crate) struct Notices {
    cx: Build,
    mailbox: Arc<Internal>,
}

impl Receiver for Notices {
    type Config = Config;
    const SIGNALS: &'static [Signal] = &[Signal::Logs];

    fn build(_: Config, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self { cx: cx.clone(), mailbox: cx.need::<Internal>("mailbox")? })
    }

    async fn run(self, out: Output, mut stop: Stop) -> Result<(), Fatal> {
        stop.ready();
        loop {
            let notices = tokio::select! {
                notices = self.mailbox.take() => notices,
                () = stop.stopped() => return Ok(()),
            };
            let now = self.cx.clock.unix_nanos();
            let request = write(&notices, now);
            let context = Arc::new(Context::internal(self.cx.id.clone(), now));
            // A notice that cannot be delivered is posted again; the mailbox is bounded and counts what it loses.
            if let Outcome::Retry { .. } = out.send(Signal::Logs, request, context, Charge::none()).await {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                notices.into_iter().for_each(|notice| self.mailbox.post(notice));
            }
        }
    }
}

fn write(notices: &[Notice], now: u64) -> bytes::Bytes {
    build::logs(|request| {
        request.resource(&[("service.name", Value::Str("throughline"))], |resource| {
            resource.scope("throughline.internal", env!("CARGO_PKG_VERSION"), |scope| {
                for notice in notices {
                    scope.log_record(|log| {
                        log.time_unix_nano(notice.occurred_at).observed_time_unix_nano(now);
                        log.severity(9, "INFO");
                        log.event_name(&notice.event_name).body(&*notice.body);
                        log.attribute("throughline.component", notice.from.as_str());
                        for (key, value) in &notice.attributes {
                            log.attribute(key, &**value);
                        }
                    });
                }
            });
        });
    })
}
