// Where AvailableMemory gets its figures: the texts of /proc and of the control groups.
// Apart from the files so that tests can state them. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "transport/memory.h"

namespace headrace::transport {

// The first 64 KiB of a file of /proc or /sys; nothing when it cannot be read.
std::optional<std::string> ReadSmallFile(const std::string& path);

// Bytes of "Name:   123 kB" in a text like /proc/meminfo.
std::optional<uint64_t> FieldBytes(std::string_view text, std::string_view name);

// Room left by a control group: limit - usage + what of the usage is idle page cache. Nothing when
// it sets no limit ("max", or v1's huge number).
std::optional<uint64_t> CgroupRoom(std::string_view limit, std::string_view usage,
                                   std::string_view stat);

// The tightest room of this process's groups and their parents, from `root` ("/sys/fs/cgroup") and
// the text of /proc/self/cgroup. Both hierarchies are looked at.
std::optional<uint64_t> CgroupRoomOf(const std::string& root, std::string_view self_cgroup);

// 2 MiB pages that are free and not promised to a mapping.
uint64_t FreeHugetlbBytes();

}  // namespace headrace::transport
