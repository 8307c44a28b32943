// The options of headrace-sim, group by group, as --help shows them.
#include <limits>

#include "sim/config_texts.h"

namespace headrace::sim {
namespace {

constexpr uint32_t kMany = 1u << 30;
constexpr double kAny = std::numeric_limits<double>::infinity();
constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

void BindModel(Config* config, ConfigTexts* texts, OptionTable* table) {
  ModelOptions& model = config->model;
  table->Group("Model");
  table->Text("model", &model.name, "NAME", "the model that is served; needed");
  table->Environment("SIM_MODEL", "model");
  table->Words("served-model-name", &model.served_names, "NAME...",
               "names under which it is served, the first is displayed; none: the model's own");
  table->Number("max-model-len", &model.max_model_len, 1u, kMany, "tokens of a context");
  table->Choice("mode", &texts->mode, {"random", "echo"},
                "answer random sentences, or what was asked");
  table->Text("tokenizer", &model.tokenizer, "regex|byte|PATH",
              "words, bytes, or the tokenizer.json at a path");
  table->Integer("seed", &texts->seed, kLeast, kMost,
                 "of everything that is random; not given: another one each time");
  table->HideDefault("seed");
  table->Number("default-embedding-dimensions", &model.embedding_dimensions, 1u, 1u << 20,
                "of embeddings that ask for no size");
  table->Flag("mm-encoder-only", &model.mm_encoder_only, "leave the language part out");
  table->Twin("mm-encoder-only");
}

void BindServing(Config* config, ConfigTexts* texts, OptionTable* table) {
  ServingOptions& serving = config->serving;
  table->Group("Serving");
  table->Words("host", &texts->hosts, "ADDRESS...", "to listen on, IPv4 or IPv6");
  table->Number("port", &serving.port, 1u, 65535u, "to listen on; rank r takes the r-th after it");
  table->Text("ssl-certfile", &serving.tls_cert_file, "FILE", "certificate; makes it HTTPS");
  table->Text("ssl-keyfile", &serving.tls_key_file, "FILE", "its key");
  table->Flag("self-signed-certs", &serving.self_signed_certs,
              "HTTPS with a certificate that is made at the start");
  table->Number("max-request-body-size-mb", &texts->max_body_mb, uint64_t{1}, uint64_t{512},
                "MiB that a request's body may have");
  table->Flag("enable-request-id-headers", &serving.request_id_headers,
              "answer with the request's X-Request-Id");
  table->Flag("log-http", &serving.log_http, "log every request and answer, secrets included");
  table->GoTime("startup-duration", &serving.startup_duration,
                "after the start until /health/ready is 200");
  table->Flag("enable-sleep-mode", &serving.enable_sleep_mode,
              "let /sleep work, where VLLM_SERVER_DEV_MODE=1");
  table->Twin("enable-sleep-mode");
}

void BindScheduling(Config* config, ConfigTexts* texts, OptionTable* table) {
  SchedulerOptions& scheduler = config->scheduler;
  table->Group("Scheduling");
  table->Choice("scheduler", &texts->scheduler, {"simple", "continuous"},
                "a slot for each request, or steps that share a budget of tokens");
  table->Number("max-num-seqs", &scheduler.max_running, 1u, 1u << 20, "requests that run at once");
  table->Number("max-waiting-queue-length", &scheduler.max_waiting, 0u, kMany,
                "requests that wait; one more is refused with 429");
  table->Number("max-num-batched-tokens", &scheduler.max_batched_tokens, 1u, kMany,
                "of a step, with --scheduler continuous");
  table->Number("data-parallel-size", &config->ranks.size, 1u, 8u, "ranks in this process");
  table->Integer("data-parallel-rank", &texts->rank, -1, 7,
                 "the only rank of this process, whatever the size");
  table->HideDefault("data-parallel-rank");
}

void BindLatencies(Config* config, ConfigTexts* texts, OptionTable* table) {
  LatencyOptions& latency = config->latency;
  table->Group("Latencies");
  table->Section("latencies");
  table->Text("latency-calculator", &texts->calculator, "\"\"|constant|per-token",
              "of the first token; \"\": constant when a constant is given");
  table->GoTime("time-to-first-token", &latency.time_to_first_token, "of a prompt");
  table->GoTime("time-to-first-token-std-dev", &latency.time_to_first_token_std_dev,
                "its deviation, at most 30 % of it");
  table->GoTime("inter-token-latency", &latency.inter_token_latency, "of each further token");
  table->GoTime("inter-token-latency-std-dev", &latency.inter_token_latency_std_dev,
                "its deviation, at most 30 % of it");
  table->GoTime("kv-cache-transfer-latency", &latency.kv_cache_transfer_latency,
                "of a prompt whose KV comes from another engine");
  table->GoTime("kv-cache-transfer-latency-std-dev", &latency.kv_cache_transfer_latency_std_dev,
                "its deviation, at most 30 % of it");
  table->GoTime("prefill-overhead", &latency.prefill_overhead, "of each prompt");
  table->GoTime("prefill-time-per-token", &latency.prefill_time_per_token,
                "of each token of a prompt that is not cached");
  table->GoTime("prefill-time-std-dev", &latency.prefill_time_std_dev, "deviation of a prefill");
  table->GoTime("kv-cache-transfer-time-per-token", &latency.kv_cache_transfer_time_per_token,
                "of each token whose KV comes from another engine");
  table->GoTime("kv-cache-transfer-time-std-dev", &latency.kv_cache_transfer_time_std_dev,
                "deviation of a transfer");
  table->Decimal("time-factor-under-load", &latency.time_factor_under_load, 1, kAny,
                 "how much longer everything takes when --max-num-seqs run");
}

void BindLora(Config* config, ConfigTexts* texts, OptionTable* table) {
  table->Group("LoRA");
  table->Section("lora");
  table->Words("lora-modules", &texts->lora_modules, "JSON...",
               "adapters: {\"name\":\"a\",\"path\":\"/p\",\"base_model_name\":\"m\"}");
  table->Number("max-loras", &config->lora.max_running, 1u, 1u << 20, "adapters that run at once");
  table->Number("max-cpu-loras", &texts->max_cpu_loras, 0u, 1u << 20,
                "adapters kept, at least --max-loras; not given: as many");
  table->HideDefault("max-cpu-loras");
}

void BindKv(Config* config, ConfigTexts* texts, OptionTable* table) {
  KvOptions& kv = config->kv;
  EventOptions& events = config->events;
  table->Group("KV cache");
  table->Section("kvcache");
  table->Flag("enable-kvcache", &kv.enabled, "keep blocks and tell events of them; needs POD_IP");
  table->Number("kv-cache-size", &kv.blocks, 0u, kMany, "blocks of the cache");
  table->Choice("block-size", &texts->block_size, {"8", "16", "32", "64", "128"},
                "tokens of a block");
  table->Text("block-hash", &texts->hash_algo, "NAME",
              "how blocks are named: llmd-d, sha256_cbor, xxhash and others");
  table->Text("hash-seed", &kv.hash_seed, "TEXT", "where chains of blocks begin");
  table->Environment("PYTHONHASHSEED", "hash-seed");
  table->Share("global-cache-hit-threshold", &kv.hit_threshold,
               "share of a prompt that must be cached, for requests that name none");
  table->Text("zmq-endpoint", &events.endpoint, "URL", "where events go; \"\": nowhere");
  table->Flag("kv-events-bind", &events.bind, "bind that endpoint in place of dialing it");
  table->Choice("kv-events-topic", &texts->topic, {"pod-port", "pod"},
                "kv@ip:port@model, or kv@ip@model");
  table->Number("event-batch-size", &events.batch_size, 1u, 65536u, "events sent together");
  table->Flag("use-vllm-map-event-format", &events.as_maps, "events as maps, not as arrays");
  table->Text("kv-events-replay-endpoint", &events.replay_endpoint, "URL",
              "where missed events are asked for; \"\": nowhere");
  table->Number("kv-events-replay-queue-size", &events.replay_queue, 1u, 1u << 24,
                "batches kept for that");
  table->Text("headrace-endpoint", &kv.headrace_endpoint, "URL",
              "headrace-server that keeps the blocks' bytes; \"\": there are no bytes");
  table->Size("kv-bytes-per-token", &kv.bytes_per_token, "bytes of KV that a token has there");
}

void BindTools(Config* config, OptionTable* table) {
  ToolOptions& tools = config->tools;
  table->Group("Tools");
  table->Integer("max-tool-call-integer-param", &tools.max_integer, kLeast, kMost,
                 "largest whole number in a call");
  table->Integer("min-tool-call-integer-param", &tools.min_integer, kLeast, kMost,
                 "smallest whole number");
  table->Decimal("max-tool-call-number-param", &tools.max_number, -kAny, kAny, "largest number");
  table->Decimal("min-tool-call-number-param", &tools.min_number, -kAny, kAny, "smallest number");
  table->Number("max-tool-call-array-param-length", &tools.max_array_length, 0u, 65536u,
                "longest array");
  table->Number("min-tool-call-array-param-length", &tools.min_array_length, 0u, 65536u,
                "shortest array");
  table->Number("tool-call-not-required-param-probability", &tools.not_required_param_percent, 0u,
                100u, "percent of calls that give a parameter that need not be");
  table->Number("object-tool-call-not-required-field-probability",
                &tools.not_required_field_percent, 0u, 100u,
                "percent of objects that give a field that need not be");
  table->Number("tool-call-extra-call-probability", &tools.extra_call_percent, 0u, 100u,
                "percent of calls after which one more is made");
  table->Flag("skip-tool-validation", &tools.skip_validation, "take any schema of a tool");
}

void BindPretence(Config* config, ConfigTexts* texts, OptionTable* table) {
  table->Group("Failures and fake metrics");
  table->Number("failure-injection-rate", &config->failures.rate, 0u, 100u,
                "percent of requests that fail");
  table->Words("failure-types", &texts->failure_types, "TYPE...",
               "rate_limit, invalid_api_key, context_length, server_error, invalid_request, "
               "model_not_found; none: all");
  table->Json("fake-metrics", &texts->fake_metrics,
              "shown in place of the real ones: {\"running-requests\":\"ramp:0:10:5s\"}");
  table->GoTime("fake-metrics-refresh-interval", &config->fake_metrics_refresh,
                "between two values of a function");
  ImageOptions& images = config->images;
  table->Group("Images");
  table->Flag("omni", &images.omni, "answer chats with images, too");
  table->Twin("omni");
  table->Number("image-emission-rate", &images.emission_rate, 0u, 100u,
                "percent of chats that get one, with --omni");
  table->GoTime("time-to-generate-image", &images.time, "that one takes");
  table->GoTime("time-to-generate-image-std-dev", &images.time_std_dev,
                "its deviation, at most 30 % of it");
  DatasetConfig& dataset = config->dataset;
  table->Group("Dataset");
  table->Section("dataset");
  table->Text("dataset-path", &dataset.source.path, "FILE", "SQLite file with the answers");
  table->Text("dataset-url", &dataset.url, "URL", "where the file comes from when it is missing");
  table->Text("dataset-table-name", &dataset.source.table, "NAME", "its table");
  table->Flag("dataset-in-memory", &dataset.source.in_memory, "copy it to memory at the start");
}

void BindLogging(Config* config, IgnoredOptions* ignored, OptionTable* table) {
  table->Group("Logging");
  table->Number("v", &config->serving.verbosity, 0u, 10u,
                "how much is logged: 1 warnings, 2 information, 4 debug, 5 everything");
  table->Group("Taken and without effect");
  table->Text("vmodule", &ignored->vmodule, "LIST", "all goes by --v");
  table->Flag("logtostderr", &ignored->log_to_stderr, "standard error it is");
  table->Flag("alsologtostderr", &ignored->also_log_to_stderr, "of klog");
  table->Flag("add_dir_header", &ignored->add_dir_header, "of klog");
  table->Flag("one_output", &ignored->one_output, "of klog");
  table->Flag("skip_headers", &ignored->skip_headers, "of klog");
  table->Flag("skip_log_headers", &ignored->skip_log_headers, "of klog");
  table->Text("log_dir", &ignored->log_dir, "DIR", "of klog");
  table->Text("log_file", &ignored->log_file, "FILE", "of klog");
  table->Number("log_file_max_size", &ignored->log_file_max_size, uint64_t{0},
                std::numeric_limits<uint64_t>::max(), "of klog");
  table->Text("log_backtrace_at", &ignored->log_backtrace_at, "PLACE", "of klog");
  table->Text("stderrthreshold", &ignored->stderr_threshold, "LEVEL", "of klog");
}

void BindIgnored(ConfigTexts* texts, IgnoredOptions* ignored, OptionTable* table) {
  table->Flag("force-dummy-tokenizer", &texts->force_dummy_tokenizer,
              "the same as --tokenizer regex");
  table->Text("render-url", &ignored->render_url, "URL", "tokens are made here");
  table->GoTime("render-timeout", &ignored->render_timeout, "nothing is asked for tokens");
  table->GoTime("mm-render-timeout", &ignored->mm_render_timeout, "nothing is asked for tokens");
  table->Text("tokenizers-cache-dir", &ignored->tokenizers_cache_dir, "DIR",
              "nothing is asked for tokens");
  table->Json("mm-processor-kwargs", &ignored->processor_kwargs, "of vLLM");
  table->Json("ec-transfer-config", &ignored->ec_transfer_config, "of vLLM");
  table->Flag("enforce-eager", &ignored->enforce_eager, "of vLLM");
  table->Twin("enforce-eager");
  table->Flag("enable-prefix-caching", &ignored->prefix_caching, "--enable-kvcache decides");
  table->Twin("enable-prefix-caching");
  table->Number("tensor-parallel-size", &ignored->tensor_parallel_size, uint64_t{1},
                uint64_t{kMany}, "of vLLM");
  table->Number("zmq-max-connect-attempts", &ignored->zmq_max_connect_attempts, uint64_t{0},
                uint64_t{kMany}, "it is tried for ever");
}

}  // namespace

void BindConfig(Config* config, ConfigTexts* texts, IgnoredOptions* ignored, OptionTable* table) {
  table->Section("ssl");
  BindModel(config, texts, table);
  BindServing(config, texts, table);
  BindScheduling(config, texts, table);
  BindLatencies(config, texts, table);
  BindLora(config, texts, table);
  BindKv(config, texts, table);
  BindTools(config, table);
  BindPretence(config, texts, table);
  BindLogging(config, ignored, table);
  BindIgnored(texts, ignored, table);
}

}  // namespace headrace::sim
