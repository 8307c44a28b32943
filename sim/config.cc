#include "sim/config.h"

#include "sim/config_texts.h"

namespace headrace::sim {
namespace {

std::string Variable(const OptionTable::Lookup& environment, const char* name) {
  const char* value = environment(name);
  return value == nullptr ? "" : value;
}

}  // namespace

Result<OptionTable::Outcome> ParseConfig(int argc, const char* const* argv,
                                         const OptionTable::Lookup& environment, Config* config,
                                         std::string* message) {
  OptionTable table("headrace-sim",
                    "Answers as vLLM does, without computing: for tests of what stands around it.\n"
                    "The environment's POD_NAME, POD_NAMESPACE and POD_IP name the pod; "
                    "VLLM_SERVER_DEV_MODE=1 lets\nit sleep.");
  table.OnlyNamedVariables();
  table.LookUpIn(environment);
  config->pod = {Variable(environment, "POD_NAME"), Variable(environment, "POD_NAMESPACE"),
                 Variable(environment, "POD_IP")};
  config->serving.dev_mode = Variable(environment, "VLLM_SERVER_DEV_MODE") == "1";
  config->events.endpoint = "tcp://127.0.0.1:5557";
  ConfigTexts texts;
  IgnoredOptions ignored;
  BindConfig(config, &texts, &ignored, &table);
  HR_TRY(const auto outcome, table.Parse(argc, argv, message));
  if (outcome == OptionTable::Outcome::kExit) return outcome;
  HR_RETURN_IF_ERROR(CheckConfig(texts, table, config, message));
  config->effective = table.effective();
  return outcome;
}

const char* ModeName(Mode mode) {
  return mode == Mode::kEcho ? "echo" : "random";
}

const char* SchedulerName(SchedulerKind kind) {
  return kind == SchedulerKind::kContinuous ? "continuous" : "simple";
}

const char* EventTopicName(EventTopic topic) {
  return topic == EventTopic::kPod ? "pod" : "pod-port";
}

const char* CalculatorName(LatencyCalculator calculator) {
  switch (calculator) {
    case LatencyCalculator::kConstant:
      return "constant";
    case LatencyCalculator::kPerToken:
      return "per-token";
    default:
      return "";
  }
}

std::optional<LatencyCalculator> ParseCalculator(std::string_view name) {
  for (auto calculator :
       {LatencyCalculator::kAuto, LatencyCalculator::kConstant, LatencyCalculator::kPerToken}) {
    if (name == CalculatorName(calculator)) return calculator;
  }
  return std::nullopt;
}

}  // namespace headrace::sim
