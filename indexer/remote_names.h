// What pods and their members are called where numbers of one server mean nothing: ranks and
// further models of a pod are "<pod>", a mark, the name space in hex, ".", the rank. Pure; any
// thread.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace headrace::indexer {

inline constexpr char kMemberMark = '\x1f';

inline std::string MemberName(std::string_view pod, uint64_t name_space, int32_t rank) {
  return fmt::format("{}{}{:x}.{}", pod, kMemberMark, name_space, rank);
}

// The pod that a member belongs to; a pod's own name is its own.
inline std::string_view PodOfMember(std::string_view name) {
  return name.substr(0, name.find(kMemberMark));
}

// Nothing for a pod's own name, which does not tell.
inline std::optional<uint64_t> NameSpaceOfMember(std::string_view name) {
  const size_t mark = name.find(kMemberMark);
  if (mark == std::string_view::npos) return std::nullopt;
  uint64_t name_space = 0;
  const char* const end = name.data() + name.size();
  const auto read = std::from_chars(name.data() + mark + 1, end, name_space, 16);
  if (read.ec != std::errc() || read.ptr == end || *read.ptr != '.') return std::nullopt;
  return name_space;
}

}  // namespace headrace::indexer
