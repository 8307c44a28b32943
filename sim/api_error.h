// What a request is refused with, in the body that every endpoint of a vLLM gives it. Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace headrace::sim {

struct ApiError {
  int status = 500;
  std::string message;
  std::optional<std::string> param = std::nullopt;  // the field that is wrong
};
template <typename T>
using ApiResult = tl::expected<T, ApiError>;

// "BadRequestError" of 400, and so on.
std::string_view ErrorType(int status);
// {"error":{"message":...,"type":...,"param":...,"code":...}}
std::string ErrorBody(const ApiError& error);

}  // namespace headrace::sim
