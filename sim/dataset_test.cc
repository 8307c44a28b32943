#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "sim/dataset_schema.h"
#include "sim/generator.h"
#include "sim/sqlite.h"
#include "text/regex_tokenizer.h"

namespace headrace::sim {

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kTable[] =
    "CREATE TABLE llmd (id INTEGER PRIMARY KEY, prompt_hash BLOB, gen_tokens JSON, n_gen_tokens "
    "INTEGER)";

class DatasetTest : public testing::Test {
 protected:
  DatasetTest() { path_ = fmt::format("{}dataset.{}.sqlite", testing::TempDir(), ::getpid()); }
  void SetUp() override { std::remove(path_.c_str()); }
  void TearDown() override { std::remove(path_.c_str()); }

  void Run(const std::string& sql) {
    if (!file_) file_.emplace(*SqliteDatabase::Create(path_));
    const Status done = file_->Run(sql);
    ASSERT_TRUE(done) << file_->Reason();
  }

  // An answer of that many tokens "r3 ", whose ids count from 1.
  void AddRow(int64_t id, std::vector<uint32_t> prompt, uint32_t tokens) {
    nlohmann::json answer = {{"tokens", nlohmann::json::array()},
                             {"strings", nlohmann::json::array()}};
    for (uint32_t token = 1; token <= tokens; ++token) {
      answer["tokens"].push_back(token);
      answer["strings"].push_back(fmt::format("r{} ", id));
    }
    auto insert = file_->Prepare("INSERT INTO llmd VALUES (?, ?, ?, ?)");
    ASSERT_TRUE(insert);
    insert->Bind(1, id);
    insert->Bind(2, PromptHasher::Create()->Hash(prompt));
    insert->Bind(3, std::string_view(answer.dump()));
    insert->Bind(4, int64_t{tokens});
    ASSERT_TRUE(insert->Step());
  }

  Result<std::unique_ptr<Generator>> Open(bool in_memory = false, uint64_t seed = 1) {
    file_.reset();
    message_.clear();
    const GeneratorOptions options{
        .seed = seed, .max_model_len = 100, .tokenizer = tokenizer_.get()};
    return OpenDataset(options, {.path = path_, .in_memory = in_memory}, &message_);
  }

  static Output Make(Generator* generator, const std::vector<uint32_t>& ids,
                     const Sampling& sampling = {}) {
    const Prompt prompt;
    Output output = generator->Make({&prompt, &ids, &sampling});
    EXPECT_EQ(output.ids.size(), output.ends.size());
    EXPECT_EQ(output.ends.empty() ? 0 : output.ends.back(), output.text.size());
    return output;
  }

  // How often each row is what answers.
  std::map<std::string, int> Answers(Generator* generator, const std::vector<uint32_t>& ids,
                                     const Sampling& sampling) {
    std::map<std::string, int> seen;
    for (int i = 0; i < 300; ++i) {
      const std::string text = Make(generator, ids, sampling).text;
      ++seen[text.substr(0, text.find(' '))];
    }
    return seen;
  }

  void ExpectRefused(const std::string& what) {
    EXPECT_FALSE(Open());
    EXPECT_THAT(message_, StartsWith("dataset " + path_ + ": "));
    EXPECT_THAT(message_, HasSubstr(what));
  }

  const std::unique_ptr<text::Tokenizer> tokenizer_ = text::MakeRegexTokenizer();
  std::string path_, message_;
  std::optional<SqliteDatabase> file_;
};

TEST_F(DatasetTest, HashesTokensAsBytesTheLowestFirst) {
  // sha256 of 01 00 00 00 00 01 00 00, by sha256sum.
  const PromptKey key = PromptHasher::Create()->Hash(std::vector<uint32_t>{1, 256});
  EXPECT_THAT(std::vector<uint8_t>(key.begin(), key.begin() + 4),
              ElementsAre(0x24, 0x20, 0x45, 0xe2));
}

TEST_F(DatasetTest, AnswersThePromptThatItKnows) {
  Run(kTable);
  AddRow(1, {1, 2}, 3);
  AddRow(2, {1, 2, 3}, 4);
  for (const bool in_memory : {false, true}) {
    const auto generator = Open(in_memory);
    ASSERT_TRUE(generator) << message_;
    const Output output = Make(generator->get(), {1, 2, 3});
    EXPECT_EQ(output.text, "r2 r2 r2 r2 ");
    EXPECT_THAT(output.ids, ElementsAre(1, 2, 3, 4));
    EXPECT_THAT(output.ends, ElementsAre(3, 6, 9, 12));
    EXPECT_EQ(output.finish, FinishReason::kStop);
    EXPECT_EQ(Make(generator->get(), {1, 2}).text, "r1 r1 r1 ");
  }
}

TEST_F(DatasetTest, ChoosesAmongTheAnswersThatFit) {
  Run(kTable);
  AddRow(1, {7}, 3);
  AddRow(2, {7}, 5);
  AddRow(3, {7}, 9);
  AddRow(4, {8}, 2);
  const auto generator = Open();
  ASSERT_TRUE(generator) << message_;
  const auto seen = Answers(generator->get(), {7}, {.max_tokens = 5});
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_NEAR(seen.at("r1"), 150, 40);
  EXPECT_NEAR(seen.at("r2"), 150, 40);
  EXPECT_EQ(Answers(generator->get(), {7}, {}).size(), 3u);
}

TEST_F(DatasetTest, CutsALongerAnswerWhenNoneFits) {
  Run(kTable);
  AddRow(1, {7}, 6);
  AddRow(2, {7}, 5);
  AddRow(3, {8}, 1);
  const auto generator = Open();
  const Output output = Make(generator->get(), {7}, {.max_tokens = 4});
  EXPECT_THAT(output.ids, ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(output.text.size(), 12u);
  EXPECT_EQ(output.finish, FinishReason::kLength);
  const auto seen = Answers(generator->get(), {7}, {.max_tokens = 4});
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen.count("r3"), 0u);
}

TEST_F(DatasetTest, AnswersAPromptThatItDoesNotKnowWithAnyThatFits) {
  Run(kTable);
  AddRow(1, {7}, 30);
  AddRow(2, {8}, 10);
  AddRow(3, {9}, 5);
  const auto generator = Open();
  const auto seen = Answers(generator->get(), {1}, {.max_tokens = 10});
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_NEAR(seen.at("r2"), 150, 40);
  EXPECT_NEAR(seen.at("r3"), 150, 40);
  EXPECT_EQ(Answers(generator->get(), {1}, {.max_tokens = 4}).size(), 3u);
  EXPECT_EQ(Make(generator->get(), {1}, {.max_tokens = 4}).ids.size(), 4u);
}

TEST_F(DatasetTest, TakesWhatThePromptLeavesOfTheContext) {
  Run(kTable);
  const std::vector<uint32_t> prompt(95, 7);
  AddRow(1, prompt, 30);
  const auto generator = Open();
  const Output output = Make(generator->get(), prompt);
  EXPECT_EQ(output.ids.size(), 5u);
  EXPECT_EQ(output.finish, FinishReason::kLength);
}

TEST_F(DatasetTest, LengthensAnswersThatAreTooShort) {
  Run(kTable);
  AddRow(1, {7}, 3);
  const auto generator = Open();
  const Output all = Make(generator->get(), {7}, {.max_tokens = 20, .ignore_eos = true});
  EXPECT_EQ(all.ids.size(), 20u);
  EXPECT_THAT(all.text, StartsWith("r1 r1 r1 "));
  EXPECT_EQ(all.finish, FinishReason::kLength);
  const Output some = Make(generator->get(), {7}, {.max_tokens = 20, .min_tokens = 7});
  EXPECT_EQ(some.ids.size(), 7u);
  EXPECT_EQ(some.finish, FinishReason::kStop);
}

TEST_F(DatasetTest, ObeysStopStrings) {
  Run(kTable);
  AddRow(1, {7}, 3);
  const Output output = Make(Open()->get(), {7}, {.stop = {" r1 r"}});
  EXPECT_EQ(output.text, "r1");
  EXPECT_EQ(output.ids, *tokenizer_->Encode("r1", text::Special::kNone));
}

TEST_F(DatasetTest, RepeatsItselfForTheSameSeed) {
  Run(kTable);
  for (int64_t id = 1; id <= 50; ++id) AddRow(id, {7}, 3);
  const auto one = Open(), same = Open(), other = Open(true, 2);
  std::string ones, sames, others;
  for (int i = 0; i < 10; ++i) {
    ones += Make(one->get(), {7}).text;
    sames += Make(same->get(), {7}).text;
    others += Make(other->get(), {7}).text;
  }
  EXPECT_EQ(ones, sames);
  EXPECT_NE(ones, others);
}

TEST_F(DatasetTest, InMemoryNeedsItsFileNoMore) {
  Run(kTable);
  AddRow(1, {7}, 3);
  const auto generator = Open(true);
  ASSERT_EQ(::truncate(path_.c_str(), 0), 0);
  EXPECT_EQ(Make(generator->get(), {7}).text, "r1 r1 r1 ");
}

TEST_F(DatasetTest, KeepsOthersFromChangingTheFile) {
  Run(kTable);
  AddRow(1, {7}, 3);
  const auto generator = Open();
  ASSERT_TRUE(generator);
  // Create opens files that are not there; SQLite itself is asked to attach this one.
  auto writer = SqliteDatabase::Create(path_ + ".other");
  ASSERT_TRUE(writer->Run(fmt::format("ATTACH '{}' AS d", path_)));
  EXPECT_FALSE(writer->Run("DELETE FROM d.llmd"));
  EXPECT_THAT(writer->Reason(), HasSubstr("locked"));
  std::remove((path_ + ".other").c_str());
}

TEST_F(DatasetTest, AnswersNothingForARowThatCannotBeRead) {
  Run(kTable);
  AddRow(1, {7}, 3);
  AddRow(2, {8}, 3);
  Run("UPDATE llmd SET gen_tokens = '{\"tokens\":[1],\"strings\":[]}' WHERE id = 2");
  const auto generator = Open();
  ASSERT_TRUE(generator) << message_;
  EXPECT_TRUE(Make(generator->get(), {8}).ids.empty());
  EXPECT_EQ(Make(generator->get(), {7}).ids.size(), 3u);
}

TEST_F(DatasetTest, RefusesAFileThatIsMissingOrNoDataset) {
  ExpectRefused("there is no such file");
  std::FILE* file = std::fopen(path_.c_str(), "w");
  std::fputs("this is a text and no database, whatever its name may say", file);
  std::fclose(file);
  ExpectRefused("not a database");
}

TEST_F(DatasetTest, RefusesAnotherTable) {
  Run("CREATE TABLE other (id INTEGER)");
  ExpectRefused("table llmd is not there");
}

TEST_F(DatasetTest, NamesTheColumnThatIsWrong) {
  const std::pair<const char*, const char*> kWrong[] = {
      {"id INTEGER PRIMARY KEY, prompt_hash BLOB, gen_tokens JSON", "lacks column n_gen_tokens"},
      {"id TEXT, prompt_hash BLOB, gen_tokens JSON, n_gen_tokens INTEGER",
       "must have column id as INTEGER, not as TEXT"},
      {"id INTEGER, prompt_hash TEXT, gen_tokens JSON, n_gen_tokens INTEGER",
       "must have column prompt_hash as BLOB, not as TEXT"},
      {"id INTEGER, prompt_hash BLOB, gen_tokens TEXT, n_gen_tokens INTEGER",
       "must have column gen_tokens as JSON, not as TEXT"},
      {"id INTEGER, prompt_hash BLOB, gen_tokens JSON, n_gen_tokens REAL",
       "must have column n_gen_tokens as INTEGER, not as REAL"},
  };
  for (const auto& [columns, what] : kWrong) {
    SetUp();
    Run(fmt::format("CREATE TABLE llmd ({})", columns));
    ExpectRefused(what);
  }
}

TEST_F(DatasetTest, NamesTheRowThatIsWrong) {
  Run(kTable);
  ExpectRefused("table llmd has no rows");
  const std::pair<const char*, const char*> kWrong[] = {
      {"prompt_hash = 'text'", "column prompt_hash of row 5 is no SHA-256"},
      {"prompt_hash = x'0011'", "column prompt_hash of row 5 is no SHA-256"},
      {"n_gen_tokens = -1", "column n_gen_tokens of row 5 is no number of tokens"},
      {"n_gen_tokens = 'many'", "column n_gen_tokens of row 5 is no number of tokens"},
      {"gen_tokens = '[1]'", "column gen_tokens of row 5 is no {\"tokens\""},
      {"gen_tokens = 'x'", "column gen_tokens of row 5 is no {\"tokens\""},
      {"gen_tokens = '{\"tokens\":[-1],\"strings\":[\"x\"]}'", "column gen_tokens of row 5"},
      {"gen_tokens = '{\"tokens\":[1],\"strings\":[1]}'", "column gen_tokens of row 5"},
      {"gen_tokens = '{\"tokens\":{},\"strings\":{}}'", "column gen_tokens of row 5"},
      {"gen_tokens = '{\"tokens\":[]}'", "column gen_tokens of row 5"},
  };
  for (const auto& [change, what] : kWrong) {
    SetUp();
    Run(kTable);
    AddRow(5, {7}, 3);
    Run(fmt::format("UPDATE llmd SET {}", change));
    ExpectRefused(what);
  }
}

TEST_F(DatasetTest, TakesTablesOfAnyName) {
  Run("CREATE TABLE \"a \"\"table\" (id INTEGER PRIMARY KEY, prompt_hash BLOB, gen_tokens JSON, "
      "n_gen_tokens INTEGER)");
  Run("INSERT INTO \"a \"\"table\" VALUES (1, zeroblob(32), "
      "'{\"tokens\":[9],\"strings\":[\"yes\"]}', 1)");
  file_.reset();
  const auto generator = OpenDataset({.max_model_len = 9, .tokenizer = tokenizer_.get()},
                                     {.path = path_, .table = "a \"table"}, &message_);
  ASSERT_TRUE(generator) << message_;
  EXPECT_EQ(Make(generator->get(), {7}).text, "yes");
}

}  // namespace

}  // namespace headrace::sim
