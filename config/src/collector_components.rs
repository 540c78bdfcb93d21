//! The components of the Collector's core and contrib distributions, by kind.
//!
//! Only used to tell *a Collector component that we do not have yet* from a typing error; what we do have is found
//! in the catalog first. Names as of Collector v0.159, former spellings included.

use crate::kind::Kind;

/// Whether the Collector has a component of this name.
pub(crate) fn is_in_collector(kind: Kind, type_name: &str) -> bool {
    let names = match kind {
        Kind::Receiver => RECEIVERS,
        Kind::Processor => PROCESSORS,
        Kind::Exporter => EXPORTERS,
        Kind::Connector => CONNECTORS,
        Kind::Extension => EXTENSIONS,
    };
    names.split_ascii_whitespace().any(|name| name == type_name)
}

const RECEIVERS: &str = "active_directory_ds activedirectoryds aerospike apache apachespark awscloudwatch \
    awscontainerinsightreceiver awsecscontainermetrics awsfirehose awss3 aws_s3 awsxray azureblob azureeventhub \
    azure_event_hub azuremonitor azure_monitor bigip carbon chrony ciscoos cloudflare cloudfoundry collectd couchdb \
    datadog docker_stats elasticsearch envoyals expvar faro file filelog file_log filestats flinkmetrics \
    fluentforward fluent_forward github gitlab googlecloudmonitoring googlecloudpubsub googlecloudpubsubpush \
    googlecloudspanner haproxy hostmetrics host_metrics httpcheck http_check huaweicloudces icmpcheck iis influxdb \
    jaeger jmx journald k8s_cluster k8s_events k8sevents k8slog k8s_objects k8sobjects kafka kafkametrics \
    kafka_metrics kubeletstats kubelet_stats libhoney loki macosunifiedlogging memcached mongodb mongodbatlas mysql \
    namedpipe netflow netscaler nginx nop nsxt ntp opencensus oracledb osquery otelarrow otlp otlpjsonfile \
    otlp_json_file podman_stats postgresql pprof prometheus prometheusremotewrite prometheus_remote_write \
    prometheus_simple pulsar purefa purefb rabbitmq receiver_creator redfish redis riak saphana signalfx \
    simpleprometheus skywalking snmp snowflake solace splunkenterprise splunk_enterprise splunk_hec sqlquery \
    sql_query sqlserver sql_server sshcheck statsd stef syslog systemd tcpcheck tcplog tcp_log tlscheck tls_check \
    udplog udp_log vcenter vcr wavefront webhookevent webhook_event windowseventlog windows_event_log \
    windowsperfcounters windows_perf_counters windowsservice yanggrpc zipkin zookeeper";

const PROCESSORS: &str = "attributes batch cardinality_guardian coralogix cumulativetodelta cumulative_to_delta \
    datadog deltatocumulative delta_to_cumulative deltatorate delta_to_rate dnslookup dns_lookup filter geoip \
    groupbyattrs group_by_attrs groupbytrace group_by_trace interval isolationforest k8sattributes k8s_attributes \
    logdedup log_dedup logstransform logs_transform lookup memory_limiter metricsgeneration metrics_generation \
    metricstarttime metric_start_time metricstransform metrics_transform probabilistic_sampler queuebatch redaction \
    remotetap remote_tap resource resourcedetection resource_detection routing schema span spanpruning \
    sumologic tail_sampling transform unroll";

const EXPORTERS: &str = "alertmanager alibabacloud_logservice awscloudwatchlogs awsemf awskinesis awss3 aws_s3 awsxray \
    azureblob azuredataexplorer azuremonitor azure_monitor bmchelix carbon cassandra clickhouse coralogix datadog \
    dataset debug doris elasticsearch faro file googlecloud googlecloudpubsub googlecloudstorage \
    googlemanagedprometheus honeycombmarker influxdb kafka kineticaexporter loadbalancing load_balancing logging \
    logicmonitor logzio loki mezmo nop opencensus opensearch otelarrow otlp otlp_grpc otlphttp otlp_http prometheus \
    prometheusremotewrite prometheus_remote_write pulsar rabbitmq sapm sematext sentry signalfx splunk_hec stef \
    sumologic syslog tencentcloud_logservice tinybird zipkin";

const CONNECTORS: &str = "count datadog exceptions failover forward grafanacloud metricsaslogs otlpjson otlp_json \
    roundrobin round_robin routing servicegraph service_graph signaltometrics signal_to_metrics slowsql spanmetrics \
    span_metrics sum";

const EXTENSIONS: &str = "ack asapclient avro_log_encoding awslogs_encoding aws_logs_encoding aws_proxy awsproxy \
    azure_auth azureauth azure_encoding basicauth bearertokenauth cfgarden cgroup_runtime cgroupruntime datadog \
    db_storage docker_observer ecs_observer ecs_task_observer file_storage googleclientauth google_client_auth \
    googlecloudlogentry_encoding headers_setter health_check healthcheckv2 host_observer http_forwarder \
    jaegerencoding jaeger_encoding jaegerremotesampling json_log_encoding k8s_leader_elector k8s_observer \
    kafka_topics_observer memory_limiter oauth2client oidc opamp otlp_encoding pprof redis_storage \
    remotetap sigv4auth skywalking_encoding solarwindsapmsettings storage sumologic text_encoding zipkin_encoding \
    zpages";
