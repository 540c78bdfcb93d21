"""Sends one span, one metric and one log record with the OpenTelemetry SDK: PROTOCOL ADDRESS MARKER."""
import logging
import sys

protocol, address, marker = sys.argv[1:]

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

    def exporter(kind, path):
        return kind(endpoint="http://" + address, insecure=True)
else:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    def exporter(kind, path):
        return kind(endpoint=f"http://{address}/v1/{path}")


class Complaints(logging.Handler):
    """The exporters log what failed, and raise nothing."""

    seen = []

    def emit(self, record):
        self.seen.append(record.getMessage())


logging.getLogger("opentelemetry").addHandler(Complaints(level=logging.WARNING))
resource = Resource.create({"service.name": "sdk", "marker": marker})

tracing = TracerProvider(resource=resource)
tracing.add_span_processor(SimpleSpanProcessor(exporter(OTLPSpanExporter, "traces")))
with tracing.get_tracer("black-box").start_as_current_span("sdk-span", attributes={"answer": 42, "list": ["a", "b"]}):
    pass
assert tracing.force_flush()

reader = PeriodicExportingMetricReader(exporter(OTLPMetricExporter, "metrics"), export_interval_millis=3_600_000)
metering = MeterProvider(resource=resource, metric_readers=[reader])
metering.get_meter("black-box").create_counter("sdk.counter").add(3, {"kind": "test"})
metering.get_meter("black-box").create_histogram("sdk.histogram").record(0.25)
assert metering.force_flush()

logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(BatchLogRecordProcessor(exporter(OTLPLogExporter, "logs")))
logger = logging.getLogger("black-box")
logger.addHandler(LoggingHandler(logger_provider=logs))
logger.warning("a log record of the SDK")
assert logs.force_flush()

for provider in (tracing, metering, logs):
    provider.shutdown()
sys.exit("\n".join(Complaints.seen) or 0)
