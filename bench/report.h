// One JSON line a figure, as scripts/bench wants it: {name, value, unit[, limit][, peer][, ratio]
// [, runs, spread, how]}. Lines go to standard output, progress to standard error. One thread.
#pragma once

#include <string>
#include <vector>

namespace headrace::bench {

struct Figure {
  std::string name;
  double value = 0;
  std::string unit;  // "GB/s", "us", "1/s"
  double limit = 0;  // 0: none. What physics or the bar allows
  double peer = 0;   // 0: none
  double ratio = 0;  // 0: value/reference for rates, reference/value for times
  int runs = 1;
  double spread = 0;  // (max - min) / median over the runs
  std::string how;
};

// A rate has a unit that ends in "/s".
void Print(const Figure& figure);
void Progress(const std::string& line);

double Median(std::vector<double> values);
double Quantile(std::vector<double> values, double share);
double Spread(const std::vector<double>& values);

}  // namespace headrace::bench
