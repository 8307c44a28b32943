/* C ABI of libheadrace_client.so, for the Python package and other languages. The contract of every
 * call is that of client/client.h. Strings are UTF-8 and end in 0. Structs start with no size
 * field: hr_abi_version() changes when one changes. Thread-safe; no call throws. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HR_ABI_VERSION 2
uint32_t hr_abi_version(void);

typedef struct hr_client hr_client;

/* Codes are headrace::Errc; hr_code_name(3) is "gone". */
const char* hr_code_name(int32_t code);
/* Text of this thread's last failed call. */
const char* hr_last_error(void);

typedef struct {
  const char* endpoint; /* NULL or "": environment, then ipc:///tmp/headrace.sock */
  const char* instance; /* NULL or "": environment, then random */
  const char* tenant;
  const char* program;
  int64_t call_timeout_us; /* 0: default of client.h, here and below */
  int64_t transfer_timeout_us;
  int64_t breaker_open_us;
  int64_t breaker_open_max_us;
  uint32_t gates;
  uint32_t num_pods;
  const char* const* pods; /* that the engine serves, as its own events' topics name them */
  const char* pods_model;  /* NULL or "": as the namespace */
} hr_options;

int32_t hr_client_create(const hr_options* options, hr_client** out);
/* Revokes what runs, waits up to wait_us until nobody touches the blocks, hangs up. Other threads
 * may still be in calls; every later call answers as if the server were absent. */
void hr_client_close(hr_client* client, int64_t wait_us);
/* Closes too, waiting at most 2 s. No other call may run or follow. */
void hr_client_destroy(hr_client* client);

typedef struct {
  int32_t fd;
  uint64_t offset;
  uint64_t bytes;
} hr_buffer;

typedef struct {
  uint32_t kind; /* 0 full, 1 window, 2 state */
  uint32_t window_blocks;
  uint32_t buffer; /* index into buffers */
  uint64_t num_blocks;
  uint64_t segment_bytes;
  uint64_t block_stride;
  uint64_t part_stride;
  uint32_t parts;
  uint32_t num_layers;
  const uint64_t* layer_offsets;
} hr_group;

int32_t hr_register(hr_client* client, const char* name_space, uint32_t rank, uint32_t world_size,
                    uint32_t block_tokens, const hr_buffer* buffers, uint32_t num_buffers,
                    const hr_group* groups, uint32_t num_groups, int64_t wait_us);
int32_t hr_ready(hr_client* client); /* 1 or 0 */

typedef struct {
  uint64_t prefix;
  uint32_t prefix_blocks;
  uint32_t hash_bytes;
  const uint8_t* hashes; /* num_hashes * hash_bytes */
  uint32_t num_hashes;
  uint32_t want_lease;
  uint32_t want_prefix;
  uint32_t min_blocks;
  uint32_t consumers;
} hr_query_item;

typedef struct {
  uint32_t hit_blocks;
  int32_t code;
  uint64_t lease;
  uint64_t prefix;
} hr_query_result;

void hr_query(hr_client* client, const hr_query_item* items, hr_query_result* results,
              uint32_t count);
void hr_release(hr_client* client, const uint64_t* leases, uint32_t count);
void hr_drop_prefixes(hr_client* client, const uint64_t* prefixes, uint32_t count);

typedef struct {
  uint32_t group;
  uint32_t depth;
  const uint8_t* parent; /* NULL at depth 0; hash_bytes long */
  uint32_t hash_bytes;
  const uint8_t* hashes;
  const uint32_t* blocks; /* num_blocks ids; 0xffffffff: no part */
  uint32_t num_blocks;
  uint64_t lora_id;
  uint64_t salt_id;
  const uint32_t* tokens; /* or NULL */
  uint32_t num_tokens;
} hr_chain;

int32_t hr_submit_save(hr_client* client, const hr_chain* chains, uint32_t num_chains,
                       uint64_t* submission);

/* blocks: num_groups runs of `count` ids; a NULL entry is a group without targets. */
int32_t hr_submit_load(hr_client* client, uint64_t lease, uint32_t first, uint32_t count,
                       const uint32_t* const* blocks, uint32_t num_groups, uint64_t* submission);

typedef struct {
  uint64_t submission;
  int32_t code;
  uint32_t stored, deduped, refused, failed, loaded;
  uint64_t bytes;
} hr_completion;

/* Returns how many were written to out (at most capacity). wait_us 0 does not wait. */
uint32_t hr_poll(hr_client* client, hr_completion* out, uint32_t capacity, int64_t wait_us);
void hr_revoke(hr_client* client, uint64_t submission);

int32_t hr_clear(hr_client* client, int64_t wait_us, uint64_t* generation);
int32_t hr_purge(hr_client* client, const uint8_t* hash, uint32_t hash_bytes, int64_t wait_us,
                 int32_t* found);
/* Writes at most capacity bytes with the final 0; returns the length needed, or a negative code. */
int64_t hr_server_status(hr_client* client, char* out, uint64_t capacity, int64_t wait_us);

typedef struct {
  uint64_t connects, registrations, epochs;
  uint64_t queries, query_timeouts, query_unavailable;
  uint64_t saves, loads, revoked, late_replies, breaker_opens;
  uint32_t connected, registered, breaker_closed;
} hr_stats;
void hr_get_stats(hr_client* client, hr_stats* out);

/* A shared buffer made for tests and scripted clients: a sealed memfd of `bytes`. */
int32_t hr_shared_buffer(const char* name, uint64_t bytes, int32_t* fd);

#ifdef __cplusplus
}
#endif
