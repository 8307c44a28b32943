#include "sim/api_error.h"

#include "sim/json_text.h"

namespace headrace::sim {

std::string_view ErrorType(int status) {
  switch (status) {
    case 400:
      return "BadRequestError";
    case 401:
      return "AuthenticationError";
    case 403:
      return "PermissionDeniedError";
    case 404:
      return "NotFoundError";
    case 422:
      return "UnprocessableEntityError";
    case 429:
      return "RateLimitError";
    default:
      return status >= 500 ? "InternalServerError" : "APIConnectionError";
  }
}

std::string ErrorBody(const ApiError& error) {
  std::string out = R"({"error":{"message":)";
  AppendJsonString(error.message, &out);
  out += R"(,"type":)";
  AppendJsonString(ErrorType(error.status), &out);
  out += R"(,"param":)";
  if (error.param) {
    AppendJsonString(*error.param, &out);
  } else {
    out += "null";
  }
  out += R"(,"code":)";
  AppendNumber(error.status, &out);
  out += "}}";
  return out;
}

}  // namespace headrace::sim
