// The C ABI as a foreign language sees it: through the shared library.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "client/fake_server.h"
#include "client/headrace.h"

namespace headrace::client {
namespace {

constexpr int64_t kSoonUs = 10'000'000;
constexpr int32_t kOk = 0, kInvalid = 1, kUnavailable = 8;

class ClientByC : public ::testing::Test {
 protected:
  void SetUp() override {
    const hr_options options{.endpoint = server_.path().c_str(), .call_timeout_us = kSoonUs};
    ASSERT_EQ(hr_client_create(&options, &client_), kOk) << hr_last_error();
  }
  void TearDown() override { hr_client_destroy(client_); }

  int32_t Register(uint64_t num_blocks) {
    int32_t fd = -1;
    EXPECT_EQ(hr_shared_buffer("test", 1 << 20, &fd), kOk);
    const hr_buffer buffer{fd, 0, 1 << 20};
    const uint64_t offsets[] = {0, 4096};
    const hr_group group{.num_blocks = num_blocks,
                         .segment_bytes = 4096,
                         .block_stride = 65536,
                         .parts = 1,
                         .num_layers = 2,
                         .layer_offsets = offsets};
    const int32_t code = hr_register(client_, "model", 0, 1, 16, &buffer, 1, &group, 1, kSoonUs);
    ::close(fd);
    return code;
  }

  FakeServer server_;
  hr_client* client_ = nullptr;
};

TEST_F(ClientByC, SavesQueriesAndLoads) {
  ASSERT_EQ(Register(16), kOk) << hr_last_error();
  EXPECT_EQ(hr_ready(client_), 1);
  const uint8_t hashes[64] = {1};
  const uint32_t blocks[] = {4, 5};
  const hr_chain chain{.hash_bytes = 32, .hashes = hashes, .blocks = blocks, .num_blocks = 2};
  uint64_t submission = 0;
  ASSERT_EQ(hr_submit_save(client_, &chain, 1, &submission), kOk) << hr_last_error();
  hr_completion completion;
  ASSERT_EQ(hr_poll(client_, &completion, 1, kSoonUs), 1u);
  EXPECT_EQ(completion.submission, submission);
  EXPECT_EQ(completion.stored, 2u);

  const hr_query_item item{
      .hash_bytes = 32, .hashes = hashes, .num_hashes = 2, .want_lease = 1, .consumers = 1};
  hr_query_result result;
  hr_query(client_, &item, &result, 1);
  ASSERT_EQ(result.code, kOk);
  EXPECT_EQ(result.hit_blocks, 2u);

  const uint32_t* groups[] = {blocks};
  ASSERT_EQ(hr_submit_load(client_, result.lease, 0, 2, groups, 1, &submission), kOk);
  ASSERT_EQ(hr_poll(client_, &completion, 1, kSoonUs), 1u);
  EXPECT_EQ(completion.loaded, 2u);
  hr_stats stats;
  hr_get_stats(client_, &stats);
  EXPECT_EQ(stats.saves + stats.loads + stats.queries, 3u);
}

TEST_F(ClientByC, NamesTheFieldThatIsWrong) {
  EXPECT_EQ(Register(1000), kInvalid);
  EXPECT_STRNE(hr_last_error(), "");
  const hr_chain chain{.hash_bytes = 33, .hashes = nullptr, .blocks = nullptr, .num_blocks = 1};
  uint64_t submission = 1;
  EXPECT_EQ(hr_submit_save(client_, &chain, 1, &submission), kInvalid);
  EXPECT_STREQ(hr_last_error(), "hashes must not be NULL");
  EXPECT_EQ(submission, 0u);
  hr_client* none = nullptr;
  const hr_options tcp{.endpoint = "tcp://host:1"};
  EXPECT_EQ(hr_client_create(&tcp, &none), kInvalid);
  EXPECT_STREQ(hr_last_error(), "endpoint must be ipc:///path or a path");
  EXPECT_EQ(none, nullptr);
}

TEST_F(ClientByC, TakesNullForNothing) {
  hr_client_destroy(nullptr);
  hr_client_close(nullptr, 0);
  EXPECT_EQ(hr_client_create(nullptr, nullptr), kInvalid);
  EXPECT_EQ(hr_ready(nullptr), 0);
  hr_query(nullptr, nullptr, nullptr, 1);
  EXPECT_EQ(hr_submit_load(client_, 1, 0, 1, nullptr, 1, nullptr), kInvalid);
  EXPECT_EQ(hr_poll(client_, nullptr, 1, 0), 0u);
  EXPECT_EQ(hr_register(client_, nullptr, 0, 1, 16, nullptr, 0, nullptr, 0, 0), kInvalid);
  EXPECT_EQ(hr_register(client_, "n", 0, 1, 16, nullptr, 1, nullptr, 0, 0), kInvalid);
}

TEST_F(ClientByC, AnswersOneWrongQueryWithoutTheOthers) {
  ASSERT_EQ(Register(16), kOk);
  const uint8_t hashes[64] = {1};
  const hr_query_item items[] = {{.hash_bytes = 32, .hashes = hashes, .num_hashes = 2},
                                 {.hash_bytes = 33, .hashes = hashes, .num_hashes = 1},
                                 {.hash_bytes = 32, .hashes = hashes, .num_hashes = 1}};
  hr_query_result results[3];
  hr_query(client_, items, results, 3);
  EXPECT_EQ(results[0].hit_blocks, 2u);
  EXPECT_EQ(results[1].code, kInvalid);
  EXPECT_EQ(results[2].hit_blocks, 1u);
}

TEST_F(ClientByC, CutsTheStatusAndTellsItsLength) {
  const std::string status = "{\"ok\":1}";
  char text[16];
  EXPECT_EQ(hr_server_status(client_, text, sizeof(text), kSoonUs), int64_t(status.size()) + 1);
  EXPECT_EQ(text, status);
  EXPECT_EQ(hr_server_status(client_, text, 4, kSoonUs), int64_t(status.size()) + 1);
  EXPECT_STREQ(text, "{\"o");
  hr_client_close(client_, 0);
  EXPECT_EQ(hr_server_status(client_, text, sizeof(text), 0), -kUnavailable);
}

TEST(HeadraceC, RefusesPodsThatAreNone) {
  const char* pods[] = {"10.0.0.1:8000", nullptr};
  hr_client* client = nullptr;
  hr_options options{.endpoint = "/nobody", .num_pods = 1, .pods = pods, .pods_model = "org/m"};
  EXPECT_EQ(hr_client_create(&options, &client), kOk) << hr_last_error();
  hr_client_destroy(client);
  options.num_pods = 2;
  EXPECT_EQ(hr_client_create(&options, &client), kInvalid);
  options.num_pods = 65;
  EXPECT_EQ(hr_client_create(&options, &client), static_cast<int32_t>(Errc::kLimit));
  options = {.endpoint = "/nobody", .num_pods = 1};
  EXPECT_EQ(hr_client_create(&options, &client), kInvalid);
}

TEST(HeadraceC, NamesItsVersionAndCodes) {
  EXPECT_EQ(hr_abi_version(), uint32_t{HR_ABI_VERSION});
  EXPECT_STREQ(hr_code_name(3), "gone");
  EXPECT_STREQ(hr_code_name(99), "internal");
  EXPECT_STREQ(hr_code_name(-1), "internal");
}

}  // namespace
}  // namespace headrace::client
