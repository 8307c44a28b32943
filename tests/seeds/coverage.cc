#include "tests/seeds/coverage.h"

#include <array>
#include <cstdio>

namespace headrace::seeds {
namespace {

struct Field {
  const char* name;
  uint64_t Coverage::* member;
  bool required;
};

#define HR_FIELD(name)           \
  Field {                        \
    #name, &Coverage::name, true \
  }
constexpr std::array kFields = {
    HR_FIELD(events),
    HR_FIELD(queries),
    HR_FIELD(hits),
    HR_FIELD(hit_blocks),
    HR_FIELD(handle_queries),
    HR_FIELD(bisections_checked),
    HR_FIELD(sliced_queries),
    HR_FIELD(sliced_walks),
    HR_FIELD(saves),
    HR_FIELD(saved_blocks),
    HR_FIELD(deduped),
    HR_FIELD(refused),
    HR_FIELD(loads),
    HR_FIELD(loaded_blocks),
    HR_FIELD(bytes_checked),
    HR_FIELD(evictions),
    HR_FIELD(evictions_beside_leases),
    HR_FIELD(page_reclaims),
    HR_FIELD(hidden),
    HR_FIELD(window_loads),
    HR_FIELD(cancelled_loads),
    HR_FIELD(revoked_gates),
    HR_FIELD(revoked_saves),
    HR_FIELD(fences_waited),
    HR_FIELD(client_crashes),
    HR_FIELD(client_crashes_mid_copy),
    HR_FIELD(server_crashes),
    HR_FIELD(server_crashes_mid_copy),
    HR_FIELD(mover_kills),
    HR_FIELD(mover_kills_mid_copy),
    HR_FIELD(freezes),
    HR_FIELD(frozen_mid_chunk),
    Field{"mover_deadlines", &Coverage::mover_deadlines, false},  // the core is faster, mostly
    HR_FIELD(lease_expiries),
    HR_FIELD(leases_hung_up),
    HR_FIELD(late_completions),
    HR_FIELD(stale_replies),
    HR_FIELD(clears),
    HR_FIELD(purges),
    HR_FIELD(purged_blocks),
    HR_FIELD(cleared_blocks),
    HR_FIELD(permission_refusals),
    HR_FIELD(limit_hits),
    HR_FIELD(gone_loads),
    HR_FIELD(limit_hidden),
    HR_FIELD(limit_instance_bytes),
    HR_FIELD(limit_save_rate),
    HR_FIELD(limit_leases),
    HR_FIELD(limit_requests),
    HR_FIELD(index_checks),
};
#undef HR_FIELD

}  // namespace

void Coverage::Add(const Coverage& other) {
  for (const Field& field : kFields) this->*field.member += other.*field.member;
}

std::string Coverage::Table() const {
  std::string out;
  char line[96];
  for (const Field& field : kFields) {
    std::snprintf(line, sizeof line, "  %-26s %14llu\n", field.name,
                  static_cast<unsigned long long>(this->*field.member));
    out += line;
  }
  return out;
}

std::string Coverage::Missing() const {
  std::string out;
  for (const Field& field : kFields) {
    if (field.required && this->*field.member == 0)
      out += std::string(out.empty() ? "" : ", ") + field.name;
  }
  return out;
}

}  // namespace headrace::seeds
