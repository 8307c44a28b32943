// The C ABI over client/client.h. Arguments are checked here, so that nothing behind it sees a null
// pointer or a length that does not fit; every exception ends here.
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "base/fd.h"
#include "client/client.h"
#include "client/headrace.h"

#define HR_EXPORT extern "C" __attribute__((visibility("default")))

using headrace::Errc;
using headrace::Error;
using headrace::Fail;
using headrace::Result;
using headrace::Status;
namespace client = headrace::client;
namespace wire = headrace::wire;

struct hr_client {
  std::unique_ptr<client::Client> client;
};

namespace {

thread_local char last_error[512];

int32_t Code(Errc code) {
  return static_cast<int32_t>(code);
}

// Keeps the text for hr_last_error and returns the code. `detail` is what the server said.
int32_t Report(const Error& error, const std::string& detail = "") {
  char buffer[128] = "";
  const char* os = error.os == 0 ? "" : ::strerror_r(error.os, buffer, sizeof(buffer));
  std::snprintf(last_error, sizeof(last_error), "%s%s%s%s%s", error.what,
                detail.empty() ? "" : ": ", detail.c_str(), error.os == 0 ? "" : ": ", os);
  return Code(error.code);
}

int32_t Report(Errc code, const char* what) {
  return Report(Error{code, 0, what});
}

// Runs a call; what it throws (only std::bad_alloc is to be expected) becomes kInternal.
template <typename Function>
int32_t Guarded(Function&& call) {
  try {
    return call();
  } catch (const std::exception& exception) {
    return Report(Error{Errc::kInternal, 0, "exception"}, exception.what());
  } catch (...) {
    return Report(Errc::kInternal, "exception of unknown type");
  }
}

headrace::Duration Micros(int64_t micros) {
  constexpr int64_t kLongest = int64_t{24} * 3600 * 1'000'000;
  return headrace::microseconds(std::clamp<int64_t>(micros, 0, kLongest));
}

Status PodsFrom(const hr_options& in, client::ClientOptions* options) {
  if (in.num_pods > wire::kMaxServedPods) return Fail(Errc::kLimit, "options: more than 64 pods");
  for (uint32_t i = 0; i < in.num_pods; ++i) {
    if (in.pods == nullptr || in.pods[i] == nullptr) {
      return Fail(Errc::kInvalid, "options: a pod must not be NULL");
    }
    options->pods.emplace_back(in.pods[i]);
  }
  if (in.pods_model != nullptr) options->pods_model = in.pods_model;
  return {};
}

Result<client::ClientOptions> OptionsFrom(const hr_options& in) {
  client::ClientOptions options;
  if (in.endpoint != nullptr) options.endpoint = in.endpoint;
  if (in.instance != nullptr) options.instance = in.instance;
  if (in.tenant != nullptr) options.tenant = in.tenant;
  if (in.program != nullptr && *in.program != '\0') options.program = in.program;
  if (std::min({in.call_timeout_us, in.transfer_timeout_us, in.breaker_open_us,
                in.breaker_open_max_us}) < 0) {
    return Fail(Errc::kInvalid, "options: a time must not be below 0");
  }
  if (in.call_timeout_us > 0) options.call_timeout = Micros(in.call_timeout_us);
  if (in.transfer_timeout_us > 0) options.transfer_timeout = Micros(in.transfer_timeout_us);
  if (in.breaker_open_us > 0) options.breaker_open = Micros(in.breaker_open_us);
  if (in.breaker_open_max_us > 0) options.breaker_open_max = Micros(in.breaker_open_max_us);
  options.breaker_open_max = std::max(options.breaker_open_max, options.breaker_open);
  if (in.gates > 0) options.gates = in.gates;
  HR_RETURN_IF_ERROR(PodsFrom(in, &options));
  return options;
}

Result<wire::GroupSpec> GroupFrom(const hr_group& in) {
  if (in.kind > static_cast<uint32_t>(wire::GroupKind::kState)) {
    return Fail(Errc::kInvalid, "group.kind must be 0 (full), 1 (window) or 2 (state)");
  }
  if (in.num_layers == 0 || in.num_layers > wire::kMaxLayers || in.layer_offsets == nullptr) {
    return Fail(Errc::kInvalid, "group.layer_offsets must have 1 to 4096 entries");
  }
  wire::GroupSpec group;
  group.kind = static_cast<wire::GroupKind>(in.kind);
  group.window_blocks = in.window_blocks;
  group.buffer = in.buffer;
  group.layout.num_blocks = in.num_blocks;
  group.layout.segment_bytes = in.segment_bytes;
  group.layout.block_stride = in.block_stride;
  group.layout.part_stride = in.part_stride;
  group.layout.parts = in.parts;
  group.layout.layer_offsets.assign(in.layer_offsets, in.layer_offsets + in.num_layers);
  return group;
}

Result<wire::HashList> HashesFrom(const uint8_t* hashes, uint32_t hash_bytes, uint32_t count) {
  if (count == 0) return wire::HashList();
  if (hashes == nullptr) return Fail(Errc::kInvalid, "hashes must not be NULL");
  if (hash_bytes == 0 || hash_bytes > wire::BlockHash::kMaxBytes) {
    return Fail(Errc::kInvalid, "hash_bytes must be 1 to 32");
  }
  return wire::HashList(hashes, static_cast<uint8_t>(hash_bytes), count);
}

Result<wire::SaveChain> ChainFrom(const hr_chain& in) {
  wire::SaveChain chain;
  HR_TRY(chain.hashes, HashesFrom(in.hashes, in.hash_bytes, in.num_blocks));
  if (in.num_blocks > 0 && in.blocks == nullptr) {
    return Fail(Errc::kInvalid, "chain.blocks must not be NULL");
  }
  if (in.num_tokens > 0 && in.tokens == nullptr) {
    return Fail(Errc::kInvalid, "chain.tokens must not be NULL");
  }
  chain.group = in.group;
  chain.depth = in.depth;
  if (in.parent != nullptr && in.num_blocks > 0) {
    chain.parent = wire::BlockHash::Of({in.parent, in.hash_bytes});
  }
  if (in.num_blocks > 0) chain.blocks.assign(in.blocks, in.blocks + in.num_blocks);
  if (in.num_tokens > 0) chain.tokens.assign(in.tokens, in.tokens + in.num_tokens);
  chain.lora_id = in.lora_id;
  chain.salt_id = in.salt_id;
  return chain;
}

Status Register(client::Client* client, const client::Registration& base,
                std::span<const hr_group> groups, headrace::Duration wait) {
  client::Registration registration = base;
  for (const hr_group& in : groups) {
    HR_TRY(wire::GroupSpec group, GroupFrom(in));
    registration.groups.push_back(std::move(group));
  }
  return client->Register(registration, wait);
}

Status Submit(client::Client* client, std::span<const hr_chain> in, uint64_t* submission) {
  std::vector<wire::SaveChain> chains;
  chains.reserve(in.size());
  for (const hr_chain& item : in) {
    HR_TRY(wire::SaveChain chain, ChainFrom(item));
    chains.push_back(std::move(chain));
  }
  HR_TRY(*submission, client->SubmitSave(chains));
  return {};
}

int32_t Finish(const Status& status) {
  return status ? Code(Errc::kOk) : Report(status.error());
}

// Items that are no valid prefixes get their code at once; the rest is asked in one call.
void RunQuery(client::Client* client, std::span<const hr_query_item> items,
              std::span<hr_query_result> results) {
  thread_local std::vector<client::QuerySpec> specs;
  thread_local std::vector<client::QueryResult> answers;
  specs.clear();
  for (size_t i = 0; i < items.size(); ++i) {
    const hr_query_item& in = items[i];
    const auto hashes = HashesFrom(in.hashes, in.hash_bytes, in.num_hashes);
    results[i] = {};
    if (!hashes) {
      results[i].code = Report(hashes.error());
      continue;
    }
    specs.push_back({in.prefix, in.prefix_blocks, *hashes, in.want_lease != 0, in.want_prefix != 0,
                     in.min_blocks, in.consumers});
  }
  answers.resize(specs.size());
  client->Query(specs, answers);
  size_t next = 0;
  for (hr_query_result& result : results) {
    if (result.code != 0) continue;
    const client::QueryResult& answer = answers[next++];
    result = {answer.hit_blocks, Code(answer.code), answer.lease, answer.prefix};
  }
}

}  // namespace

HR_EXPORT uint32_t hr_abi_version(void) {
  return HR_ABI_VERSION;
}

HR_EXPORT const char* hr_code_name(int32_t code) {
  const bool known = code >= 0 && code <= Code(Errc::kInternal);
  return headrace::ErrcName(known ? static_cast<Errc>(code) : Errc::kInternal);
}

HR_EXPORT const char* hr_last_error(void) {
  return last_error;
}

HR_EXPORT int32_t hr_client_create(const hr_options* options, hr_client** out) {
  return Guarded([&] {
    if (out == nullptr) return Report(Errc::kInvalid, "out must not be NULL");
    *out = nullptr;
    auto parsed = OptionsFrom(options == nullptr ? hr_options{} : *options);
    if (!parsed) return Report(parsed.error());
    auto made = client::Client::Create(std::move(*parsed));
    if (!made) return Report(made.error());
    *out = new hr_client{std::move(*made)};
    return Code(Errc::kOk);
  });
}

HR_EXPORT void hr_client_close(hr_client* client, int64_t wait_us) {
  if (client == nullptr) return;
  (void)Guarded([&] {
    client->client->Close(Micros(wait_us));
    return 0;
  });
}

HR_EXPORT void hr_client_destroy(hr_client* client) {
  delete client;
}

HR_EXPORT int32_t hr_register(hr_client* client, const char* name_space, uint32_t rank,
                              uint32_t world_size, uint32_t block_tokens, const hr_buffer* buffers,
                              uint32_t num_buffers, const hr_group* groups, uint32_t num_groups,
                              int64_t wait_us) {
  return Guarded([&] {
    if (client == nullptr || name_space == nullptr) {
      return Report(Errc::kInvalid, "client and namespace must not be NULL");
    }
    if ((num_buffers > 0 && buffers == nullptr) || (num_groups > 0 && groups == nullptr)) {
      return Report(Errc::kInvalid, "buffers and groups must not be NULL");
    }
    if (num_buffers > wire::kMaxBuffers || num_groups > wire::kMaxGroups) {
      return Report(Errc::kLimit, "at most 16 buffers and 16 groups");
    }
    client::Registration registration{name_space, rank, world_size, block_tokens, {}, {}};
    for (uint32_t i = 0; i < num_buffers; ++i) {
      registration.buffers.push_back({buffers[i].fd, buffers[i].offset, buffers[i].bytes});
    }
    const Status status = Register(client->client.get(), registration,
                                   std::span(groups, num_groups), Micros(wait_us));
    return status ? Code(Errc::kOk) : Report(status.error(), client->client->last_refusal());
  });
}

HR_EXPORT int32_t hr_ready(hr_client* client) {
  if (client == nullptr) return 0;
  return Guarded([&] { return client->client->ready() ? 1 : 0; }) == 1 ? 1 : 0;
}

HR_EXPORT void hr_query(hr_client* client, const hr_query_item* items, hr_query_result* results,
                        uint32_t count) {
  if (client == nullptr || items == nullptr || results == nullptr || count == 0) return;
  const int32_t code = Guarded([&] {
    RunQuery(client->client.get(), std::span(items, count), std::span(results, count));
    return Code(Errc::kOk);
  });
  if (code != Code(Errc::kOk)) std::fill(results, results + count, hr_query_result{0, code, 0, 0});
}

HR_EXPORT void hr_release(hr_client* client, const uint64_t* leases, uint32_t count) {
  if (client == nullptr || leases == nullptr) return;
  (void)Guarded([&] {
    client->client->Release(std::span(leases, count));
    return 0;
  });
}

HR_EXPORT void hr_drop_prefixes(hr_client* client, const uint64_t* prefixes, uint32_t count) {
  if (client == nullptr || prefixes == nullptr) return;
  (void)Guarded([&] {
    client->client->DropPrefixes(std::span(prefixes, count));
    return 0;
  });
}

HR_EXPORT int32_t hr_submit_save(hr_client* client, const hr_chain* chains, uint32_t num_chains,
                                 uint64_t* submission) {
  return Guarded([&] {
    if (client == nullptr || chains == nullptr || submission == nullptr) {
      return Report(Errc::kInvalid, "client, chains and submission must not be NULL");
    }
    *submission = 0;
    return Finish(Submit(client->client.get(), std::span(chains, num_chains), submission));
  });
}

HR_EXPORT int32_t hr_submit_load(hr_client* client, uint64_t lease, uint32_t first, uint32_t count,
                                 const uint32_t* const* blocks, uint32_t num_groups,
                                 uint64_t* submission) {
  return Guarded([&] {
    if (client == nullptr || blocks == nullptr || submission == nullptr) {
      return Report(Errc::kInvalid, "client, blocks and submission must not be NULL");
    }
    *submission = 0;
    if (num_groups > wire::kMaxGroups || count > wire::kMaxHashes) {
      return Report(Errc::kLimit, "at most 16 groups and 65536 blocks in a load");
    }
    std::vector<std::vector<uint32_t>> groups(num_groups);
    for (uint32_t g = 0; g < num_groups; ++g) {
      if (blocks[g] != nullptr) groups[g].assign(blocks[g], blocks[g] + count);
    }
    const auto started = client->client->SubmitLoad(lease, first, count, groups);
    if (!started) return Report(started.error());
    *submission = *started;
    return Code(Errc::kOk);
  });
}

HR_EXPORT uint32_t hr_poll(hr_client* client, hr_completion* out, uint32_t capacity,
                           int64_t wait_us) {
  if (client == nullptr || out == nullptr || capacity == 0) return 0;
  uint32_t count = 0;
  (void)Guarded([&] {
    thread_local std::vector<client::Completion> completions;
    completions.clear();
    constexpr size_t kMost = 1u << 20;  // keeps a count apart from a code
    client->client->Wait(Micros(wait_us), &completions, std::min<size_t>(capacity, kMost));
    for (size_t i = 0; i < completions.size(); ++i) {
      const client::Completion& in = completions[i];
      out[i] = {in.submission, Code(in.code), in.stored, in.deduped,
                in.refused,    in.failed,     in.loaded, in.bytes};
    }
    count = static_cast<uint32_t>(completions.size());
    return Code(Errc::kOk);
  });
  return count;
}

HR_EXPORT void hr_revoke(hr_client* client, uint64_t submission) {
  if (client == nullptr) return;
  (void)Guarded([&] {
    client->client->Revoke(submission);
    return 0;
  });
}

HR_EXPORT int32_t hr_clear(hr_client* client, int64_t wait_us, uint64_t* generation) {
  return Guarded([&] {
    if (client == nullptr || generation == nullptr) {
      return Report(Errc::kInvalid, "client and generation must not be NULL");
    }
    const auto cleared = client->client->Clear(Micros(wait_us));
    if (!cleared) return Report(cleared.error());
    *generation = *cleared;
    return Code(Errc::kOk);
  });
}

HR_EXPORT int32_t hr_purge(hr_client* client, const uint8_t* hash, uint32_t hash_bytes,
                           int64_t wait_us, int32_t* found) {
  return Guarded([&] {
    if (client == nullptr || found == nullptr) {
      return Report(Errc::kInvalid, "client and found must not be NULL");
    }
    const auto list = HashesFrom(hash, hash_bytes, 1);
    if (!list) return Report(list.error());
    const auto purged = client->client->Purge((*list)[0], Micros(wait_us));
    if (!purged) return Report(purged.error());
    *found = *purged ? 1 : 0;
    return Code(Errc::kOk);
  });
}

HR_EXPORT int64_t hr_server_status(hr_client* client, char* out, uint64_t capacity,
                                   int64_t wait_us) {
  int64_t needed = 0;
  const int32_t code = Guarded([&] {
    if (client == nullptr || (out == nullptr && capacity > 0)) {
      return Report(Errc::kInvalid, "client and out must not be NULL");
    }
    const auto status = client->client->ServerStatus(Micros(wait_us));
    if (!status) return Report(status.error());
    needed = static_cast<int64_t>(status->size()) + 1;
    if (capacity == 0) return Code(Errc::kOk);
    const size_t length = std::min<size_t>(status->size(), capacity - 1);
    std::memcpy(out, status->data(), length);
    out[length] = '\0';
    return Code(Errc::kOk);
  });
  return code == 0 ? needed : -int64_t{code};
}

HR_EXPORT void hr_get_stats(hr_client* client, hr_stats* out) {
  if (client == nullptr || out == nullptr) return;
  (void)Guarded([&] {
    const client::ClientStats in = client->client->stats();
    *out = {.connects = in.connects,
            .registrations = in.registrations,
            .epochs = in.epochs,
            .queries = in.queries,
            .query_timeouts = in.query_timeouts,
            .query_unavailable = in.query_unavailable,
            .saves = in.saves,
            .loads = in.loads,
            .revoked = in.revoked,
            .late_replies = in.late_replies,
            .breaker_opens = in.breaker_opens,
            .connected = in.connected ? 1u : 0u,
            .registered = in.registered ? 1u : 0u,
            .breaker_closed = in.breaker_closed ? 1u : 0u};
    return 0;
  });
}

HR_EXPORT int32_t hr_shared_buffer(const char* name, uint64_t bytes, int32_t* fd) {
  if (name == nullptr || fd == nullptr || bytes == 0 || bytes > INT64_MAX) {
    return Report(Errc::kInvalid, "name and fd must not be NULL, bytes must be 1 or more");
  }
  headrace::Fd made(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!made.valid()) return Report(Error{Errc::kIo, errno, "memfd_create"});
  if (::ftruncate(made.get(), static_cast<off_t>(bytes)) != 0 ||
      ::fcntl(made.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return Report(Error{Errc::kIo, errno, "size and seals of the buffer"});
  }
  *fd = made.Release();
  return Code(Errc::kOk);
}
