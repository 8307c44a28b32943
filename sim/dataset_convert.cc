#include "sim/dataset_convert.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "sim/dataset_schema.h"
#include "sim/output_text.h"
#include "sim/sqlite.h"

namespace headrace::sim {

namespace {

using Json = nlohmann::json;

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

std::string PlainChatText(std::span<const ChatTurn> turns) {
  std::string text;
  for (const ChatTurn& turn : turns) text += fmt::format("### {}: {}\n", turn.role, turn.text);
  return text;
}

// As the column gen_tokens has it. A character that several tokens share is the last one's: JSON
// has whole characters only.
std::string AnswerJson(const Output& answer) {
  Json strings = Json::array();
  size_t begin = 0;
  for (const uint32_t end : answer.ends) {
    const auto inside = [&](size_t at) {
      return at < answer.text.size() && (static_cast<uint8_t>(answer.text[at]) & 0xc0) == 0x80;
    };
    const size_t cut = inside(end) ? begin : end;
    strings.push_back(answer.text.substr(begin, cut - begin));
    begin = cut;
  }
  return Json{{"tokens", answer.ids}, {"strings", std::move(strings)}}.dump();
}

// Writes rows into one new file.
class DatasetWriter {
 public:
  DatasetWriter(const ConvertOptions& options, SqliteDatabase file, PromptHasher hasher)
      : options_(options), file_(std::move(file)), hasher_(std::move(hasher)) {}

  Status Begin() {
    std::string columns;
    for (const DatasetColumn& column : kDatasetColumns) {
      columns += columns.empty() ? "" : ", ";
      columns += fmt::format("{} {}", column.name, column.type);
      if (&column == &kDatasetColumns.front()) columns += " PRIMARY KEY";
    }
    const std::string table = QuotedName(options_.table);
    // A file that is not finished is thrown away: no journal is needed.
    HR_RETURN_IF_ERROR(file_.Run("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN"));
    HR_RETURN_IF_ERROR(file_.Run(fmt::format("CREATE TABLE {} ({})", table, columns)));
    HR_TRY(auto insert, file_.Prepare(fmt::format("INSERT INTO {} (prompt_hash, gen_tokens, "
                                                  "n_gen_tokens) VALUES (?, ?, ?)",
                                                  table)));
    insert_.emplace(std::move(insert));
    return {};
  }

  Status Take(const std::vector<ChatTurn>& turns) {
    ++counts_.conversations;
    for (size_t i = 1; i < turns.size(); ++i) {
      if (turns[i].role != "assistant") continue;
      const Output answer = Tokenized(turns[i].text, *options_.tokenizer);
      if (answer.ids.empty()) continue;
      const std::span<const ChatTurn> before(turns.data(), i);
      const auto& chat_text = options_.chat_text;
      const std::string prompt = chat_text ? chat_text(before) : PlainChatText(before);
      HR_RETURN_IF_ERROR(Write(prompt, text::Special::kNone, answer));
      if (i == 1) HR_RETURN_IF_ERROR(Write(turns[0].text, text::Special::kAdd, answer));
    }
    return {};
  }

  void Skip() { ++counts_.skipped; }

  Status End() {
    insert_.reset();
    return file_.Run("COMMIT");
  }

  const ConvertCounts& counts() const { return counts_; }
  std::string Reason() const { return file_.Reason(); }

 private:
  Status Write(const std::string& prompt, text::Special special, const Output& answer) {
    const auto ids = options_.tokenizer->Encode(prompt, special);
    if (!ids) return {};  // longer than any prompt may be
    insert_->Bind(1, hasher_.Hash(*ids));
    insert_->Bind(2, std::string_view(AnswerJson(answer)));
    insert_->Bind(3, static_cast<int64_t>(answer.ids.size()));
    HR_TRY([[maybe_unused]] const bool more, insert_->Step());
    ++counts_.rows;
    return {};
  }

  const ConvertOptions& options_;
  SqliteDatabase file_;
  std::optional<SqliteStatement> insert_;  // of file_: goes before it
  PromptHasher hasher_;
  ConvertCounts counts_;
};

// Its rows; what is wrong stands in `message`.
Status Fill(std::FILE* json, DatasetWriter* writer, std::string* message) {
  Status written = writer->Begin();
  const ConversationSink sink{.take =
                                  [&](const std::vector<ChatTurn>& turns) {
                                    written = writer->Take(turns);
                                    return written.has_value();
                                  },
                              .skip = [&] { writer->Skip(); }};
  if (written) HR_RETURN_IF_ERROR(ParseShareGpt(json, sink, message));
  if (written && writer->counts().rows == 0) {
    *message = "has no conversation with an answer";
    return Fail(Errc::kInvalid, "no conversation");
  }
  if (written) written = writer->End();
  if (!written) *message = fmt::format("the dataset cannot be written: {}", writer->Reason());
  return written;
}

}  // namespace

bool HasDatasets() {
  return true;
}

Result<ConvertCounts> ConvertShareGpt(const std::string& json_path, const std::string& dataset_path,
                                      const ConvertOptions& options, std::string* message) {
  const std::unique_ptr<std::FILE, FileCloser> json(std::fopen(json_path.c_str(), "rb"));
  if (json == nullptr) {
    *message = fmt::format("{}: {}", json_path, std::strerror(errno));
    return Fail(Errc::kNotFound, "no conversations");
  }
  std::error_code ignored;
  if (std::filesystem::exists(dataset_path, ignored)) {
    *message = fmt::format("{}: the file exists; name one that does not", dataset_path);
    return Fail(Errc::kExists, "the dataset exists");
  }
  const std::string partial = fmt::format("{}.{}.partial", dataset_path, ::getpid());
  auto file = SqliteDatabase::Create(partial);
  auto hasher = PromptHasher::Create();
  if (!file || !hasher) {
    *message = fmt::format("{}: {}", partial, file ? "needs SHA-256" : "cannot be made");
    return Fail(file ? hasher.error() : file.error());
  }
  ConvertCounts counts;
  Status done;
  {
    DatasetWriter writer(options, std::move(*file), std::move(*hasher));
    done = Fill(json.get(), &writer, message);
    counts = writer.counts();
  }
  if (done && std::rename(partial.c_str(), dataset_path.c_str()) == 0) return counts;
  if (done) {
    *message = fmt::format("{}: {}", dataset_path, std::strerror(errno));
    done = Fail(Errc::kIo, "cannot be named");
  } else {
    *message = fmt::format("{}: {}", json_path, *message);
  }
  std::remove(partial.c_str());
  return Fail(done.error());
}

}  // namespace headrace::sim
