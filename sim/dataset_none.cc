// Where the build has no SQLite.
#include "sim/dataset_convert.h"
#include "sim/generator.h"

namespace headrace::sim {

bool HasDatasets() {
  return false;
}

Result<std::unique_ptr<Generator>> OpenDataset(const GeneratorOptions&, const DatasetOptions&,
                                               std::string* message) {
  *message = "datasets: this build has no SQLite";
  return Fail(Errc::kUnsupported, "built without SQLite");
}

Result<ConvertCounts> ConvertShareGpt(const std::string&, const std::string&, const ConvertOptions&,
                                      std::string* message) {
  *message = "datasets: this build has no SQLite";
  return Fail(Errc::kUnsupported, "built without SQLite");
}

}  // namespace headrace::sim
