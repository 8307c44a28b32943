#include "bench/report.h"

#include <algorithm>
#include <cstdio>

#include "base/result.h"

namespace headrace::bench {
namespace {

bool IsRate(const Figure& figure) {
  return figure.unit.size() >= 2 && figure.unit.substr(figure.unit.size() - 2) == "/s";
}

}  // namespace

void Print(const Figure& figure) {
  HR_CHECK(!figure.name.empty() && !figure.unit.empty());
  std::printf("{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"", figure.name.c_str(),
              figure.value, figure.unit.c_str());
  if (figure.limit != 0) std::printf(", \"limit\": %.6g", figure.limit);
  if (figure.peer != 0) std::printf(", \"peer\": %.6g", figure.peer);
  const double reference = figure.limit != 0 ? figure.limit : figure.peer;
  double ratio = figure.ratio;
  if (ratio == 0 && reference != 0 && figure.value != 0) {
    ratio = IsRate(figure) ? figure.value / reference : reference / figure.value;
  }
  if (ratio != 0) std::printf(", \"ratio\": %.4g", ratio);
  std::printf(", \"runs\": %d, \"spread\": %.3g, \"how\": \"%s\"}\n", figure.runs, figure.spread,
              figure.how.c_str());
  std::fflush(stdout);
}

void Progress(const std::string& line) {
  std::fprintf(stderr, "bench: %s\n", line.c_str());
}

double Quantile(std::vector<double> values, double share) {
  HR_CHECK(!values.empty());
  const size_t index =
      std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + static_cast<long>(index), values.end());
  return values[index];
}

double Median(std::vector<double> values) {
  return Quantile(std::move(values), 0.5);
}

double Spread(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double median = Median(values);
  return median == 0 ? 0 : (*high - *low) / median;
}

}  // namespace headrace::bench
