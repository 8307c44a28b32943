#include "net/http_routes.h"

#include <utility>

#include "base/result.h"

namespace headrace::net {

void HttpRoutes::Add(const std::string& method, const std::string& path, HttpRoute route) {
  HR_CHECK(path.starts_with('/'));
  const bool prefix = path.ends_with("/*");
  const std::string key = prefix ? path.substr(0, path.size() - 1) : path;
  HR_CHECK(key.find('*') == std::string::npos);
  Methods& methods = prefix ? prefixes_[key] : paths_[key];
  const bool added = methods.emplace(method, std::move(route)).second;
  HR_CHECK(added);  // two handlers for one thing
}

const HttpRoute* HttpRoutes::Find(HttpRequest* request, std::string* allow) const {
  allow->clear();
  const Methods* methods = MethodsOf(request);
  if (methods == nullptr) return nullptr;
  auto method = methods->find(request->method);
  if (method == methods->end() && request->method == "HEAD") method = methods->find("GET");
  if (method != methods->end()) return &method->second;
  for (const auto& [name, route] : *methods) *allow += (allow->empty() ? "" : ", ") + name;
  if (methods->contains("GET") && !methods->contains("HEAD")) *allow += ", HEAD";
  return nullptr;
}

// Sets what a * stands for. The longest prefix is the one.
const HttpRoutes::Methods* HttpRoutes::MethodsOf(HttpRequest* request) const {
  const std::string& path = request->path;
  const auto plain = paths_.find(path);
  if (plain != paths_.end()) return &plain->second;
  const Methods* found = nullptr;
  for (const auto& [prefix, methods] : prefixes_) {  // in order: a longer one comes later
    if (path.size() <= prefix.size() || !path.starts_with(prefix)) continue;
    found = &methods;
    request->rest = path.substr(prefix.size());
  }
  return found;
}

}  // namespace headrace::net
