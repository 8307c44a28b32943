#include "cli/hash_args.h"

#include <gtest/gtest.h>

namespace headrace::cli {
namespace {

using Values = std::map<std::string, std::string, std::less<>>;
using wire::HashAlgo;

Result<HashRequest> Read(const Values& values, std::string* message) {
  CommandLine line;
  line.values = values;
  return ReadHashRequest(line, message);
}

HashRequest Request(const Values& values) {
  std::string message;
  auto request = Read(values, &message);
  EXPECT_TRUE(request.has_value()) << message;
  return request ? std::move(*request) : HashRequest();
}

std::string WhyNot(const Values& values) {
  std::string message;
  EXPECT_FALSE(Read(values, &message).has_value());
  return message;
}

TEST(HashArgs, HaveDefaults) {
  const HashRequest request = Request({{"algo", "sha256_cbor"}, {"tokens", "1,2,3"}});
  EXPECT_EQ(request.options.algo, HashAlgo::kSha256Cbor);
  EXPECT_EQ(request.options.block_tokens, 16u);
  EXPECT_FALSE(request.options.seed);
  EXPECT_TRUE(request.parent.empty() && request.extras.empty() && request.note.empty());
}

TEST(HashArgs, TakeTokensWithCommasGapsAndBrackets) {
  const std::vector<uint32_t> want = {1, 2, 4294967295};
  for (const char* text : {"1,2,4294967295", "1 2\n4294967295\n", "[1, 2, 4294967295]\n",
                           ",1,,2,"
                           "4294967295"}) {
    EXPECT_EQ(Request({{"algo", "xxh64"}, {"tokens", text}}).tokens, want) << text;
  }
  EXPECT_TRUE(Request({{"algo", "xxh64"}, {"tokens", ""}}).tokens.empty());
  EXPECT_TRUE(Request({{"algo", "xxh64"}, {"tokens", "[]"}}).tokens.empty());
}

TEST(HashArgs, TakeAnEmptySeedForOne) {
  EXPECT_EQ(Request({{"algo", "sha256"}, {"tokens", "1"}, {"seed", ""}}).options.seed, "");
}

TEST(HashArgs, TakeAGenerationOfLlmdForTheWholeAlgorithm) {
  const std::pair<const char*, HashAlgo> generations[] = {{"llmd-a", HashAlgo::kLlmdA},
                                                          {"llmd-b", HashAlgo::kLlmdB},
                                                          {"llmd-c", HashAlgo::kLlmdC},
                                                          {"llmd-d", HashAlgo::kLlmdD}};
  for (const auto& [name, algo] : generations) {
    const HashRequest request = Request({{"generation", name}, {"tokens", "1"}});
    EXPECT_EQ(request.options.algo, algo);
    EXPECT_EQ(request.note, "");
  }
  EXPECT_EQ(Request({{"generation", "llmd-a"}, {"algo", "sha256_cbor"}, {"tokens", "1"}}).note, "");
  const HashRequest other =
      Request({{"generation", "llmd-d"}, {"algo", "xxhash"}, {"tokens", "1"}});
  EXPECT_EQ(other.options.algo, HashAlgo::kLlmdD);
  EXPECT_NE(other.note.find("--algo xxhash has no part"), std::string::npos);
}

TEST(HashArgs, KnowTheNameOfLlmdsConfiguration) {
  EXPECT_EQ(Request({{"algo", "cbor-fnv"}, {"tokens", "1"}}).options.algo, HashAlgo::kLlmdD);
}

TEST(HashArgs, PlaceAnObjectAsTheGenerationWritesIt) {
  Values values = {{"algo", "sha256"},
                   {"tokens", "1,2,3,4,5"},
                   {"block-size", "2"},
                   {"extra", R"({"salt": "s"})"}};
  HashRequest request = Request(values);
  ASSERT_EQ(request.extras.size(), 2u);
  EXPECT_EQ(request.extras[0].at(0).atoms.size(), 2u);
  EXPECT_TRUE(request.extras[1].empty());
  values["generation"] = "vllm-untagged";
  request = Request(values);
  EXPECT_TRUE(request.extras.at(0).at(0).bare);
}

TEST(HashArgs, PutAnAdapterInThePlaceOfLlmdsModel) {
  Values values = {{"algo", "llmd-d"},
                   {"tokens", "1,2"},
                   {"model", "base"},
                   {"extra", R"({"lora": ["sql-lora", "/p"]})"}};
  EXPECT_EQ(Request(values).options.model, "sql-lora");
  values["algo"] = "sha256";
  EXPECT_EQ(Request(values).options.model, "base");
}

TEST(HashArgs, TakeAParentOfTheAlgorithmsSize) {
  EXPECT_EQ(Request({{"algo", "xxh64"}, {"tokens", "1"}, {"parent", "0x00000000000000ff"}}).parent,
            wire::BlockHash::Of(std::vector<uint8_t>{0, 0, 0, 0, 0, 0, 0, 0xff}));
  EXPECT_EQ(WhyNot({{"algo", "sha256"}, {"tokens", "1"}, {"parent", "00000000000000ff"}}),
            "--parent: \"00000000000000ff\" is not a digest of sha256, which has 64 hexadecimal "
            "digits");
}

TEST(HashArgs, RefuseXxhashFormsWithoutASeed) {
  for (const char* algo : {"xxhash", "xxhash_cbor"}) {
    EXPECT_EQ(WhyNot({{"algo", algo}, {"tokens", "1"}}).find("--seed: "), 0u);
    EXPECT_TRUE(Request({{"algo", algo}, {"tokens", "1"}, {"seed", "0"}}).hasher);
  }
}

TEST(HashArgs, NameTheFlagThatIsWrong) {
  const std::pair<Values, const char*> wrong[] = {
      {{{"tokens", "1"}}, "--algo: is missing"},
      {{{"algo", "md5"}, {"tokens", "1"}}, "--algo: \"md5\" is none of sha256, "},
      {{{"algo", "sha256"}}, "--tokens: is missing"},
      {{{"algo", "sha256"}, {"tokens", "1,x"}}, "--tokens: \"x\" is not a token id"},
      {{{"algo", "sha256"}, {"tokens", "4294967296"}}, "--tokens: "},
      {{{"algo", "sha256"}, {"tokens", "-1"}}, "--tokens: "},
      {{{"algo", "sha256"}, {"tokens", "1"}, {"block-size", "0"}}, "--block-size: "},
      {{{"algo", "sha256"}, {"tokens", "1"}, {"block-size", "65537"}}, "--block-size: "},
      {{{"algo", "sha256"}, {"tokens", "1"}, {"parent", "xyz"}}, "--parent: "},
      {{{"algo", "sha256"}, {"tokens", "1"}, {"extra", "{"}}, "--extra: not JSON"},
      {{{"algo", "sha256"}, {"tokens", "1"}, {"extra", "[null]"}}, "--extra: 1 entries for 0 full"},
      {{{"algo", "llmd-c"}, {"tokens", "1"}, {"block-size", "1"}, {"extra", R"({"salt":"s"})"}},
       "--extra: llmd-c hashes tokens only"},
      {{{"algo", "blake3"}, {"tokens", "1"}, {"seed", "0"}}, "--seed: blake3 has none"},
      {{{"algo", "sha256"}, {"tokens", "1"}, {"generation", "vllm"}}, "--generation: \"vllm\""},
      {{{"algo", "xxh64"}, {"tokens", "1"}, {"generation", "vllm-0.32"}}, "--generation: "},
      {{{"algo", "md5"}, {"tokens", "1"}, {"generation", "llmd-d"}}, "--algo: "},
  };
  for (const auto& [values, start] : wrong) {
    const std::string message = WhyNot(values);
    EXPECT_TRUE(message.starts_with(start)) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(HashArgs, ShortenWhatTheyShow) {
  EXPECT_LT(WhyNot({{"algo", "sha256"}, {"tokens", std::string(100000, 'x')}}).size(), 200u);
}

}  // namespace
}  // namespace headrace::cli
