// What nearly every test program includes, compiled once for all of them (option test_pch). It has
// no #pragma once: GCC warns of it in a file that it compiles by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>
