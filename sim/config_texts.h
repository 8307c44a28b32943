// Options as they are written, before config_check.cc makes values of them. Part of config.cc.
#pragma once

#include <string>
#include <vector>

#include "base/options.h"
#include "sim/config.h"

namespace headrace::sim {

struct ConfigTexts {
  int64_t seed = 0;
  int64_t rank = -1;
  uint32_t max_cpu_loras = 0;
  uint64_t max_body_mb = 4;
  std::string mode = "random";
  std::string calculator;
  std::string scheduler = "simple";
  std::string block_size = "16";
  std::string hash_algo = "llmd-d";
  std::string topic = "pod-port";
  std::vector<std::string> hosts = {"0.0.0.0"};
  std::vector<std::string> lora_modules;
  std::vector<std::string> failure_types;
  std::string fake_metrics;
  bool force_dummy_tokenizer = false;
};

// Options of other programs that are taken and change nothing here.
struct IgnoredOptions {
  bool enforce_eager = false, prefix_caching = true;
  bool log_to_stderr = true, also_log_to_stderr = false, add_dir_header = false;
  bool one_output = false, skip_headers = false, skip_log_headers = false;
  uint64_t tensor_parallel_size = 1, log_file_max_size = 1800, zmq_max_connect_attempts = 0;
  std::string processor_kwargs, ec_transfer_config, render_url = "http://localhost:8082";
  std::string vmodule, log_dir, log_file, log_backtrace_at = ":0", stderr_threshold = "2";
  std::string tokenizers_cache_dir;
  Duration render_timeout = seconds(30), mm_render_timeout = seconds(60);
};

void BindConfig(Config* config, ConfigTexts* texts, IgnoredOptions* ignored, OptionTable* table);

// Makes values of the texts and checks what no option can check alone.
Status CheckConfig(const ConfigTexts& texts, const OptionTable& table, Config* config,
                   std::string* message);

}  // namespace headrace::sim
