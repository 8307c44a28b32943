#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "sim/dataset_schema.h"
#include "sim/generator.h"
#include "sim/output_text.h"
#include "sim/sqlite.h"

namespace headrace::sim {

namespace {

using Json = nlohmann::json;

constexpr size_t kMaxRows = 64u << 20;  // of a dataset; each takes 28 bytes of memory

// Where an answer is found, without the answer.
struct Row {
  uint64_t key = 0;  // the first bytes of its PromptKey
  uint32_t tokens = 0;
  int64_t id = 0;
};

uint64_t ShortKey(std::span<const uint8_t> hash) {
  uint64_t key = 0;
  std::memcpy(&key, hash.data(), sizeof(key));
  return key;
}

// {"tokens":[1,2],"strings":["a ","b"]}; false: it is not of this form.
bool ParseAnswer(std::string_view text, Output* output) {
  const Json root = Json::parse(text.begin(), text.end(), nullptr, false);
  if (!root.is_object()) return false;
  const auto tokens = root.find("tokens");
  const auto strings = root.find("strings");
  if (tokens == root.end() || strings == root.end()) return false;
  if (!tokens->is_array() || !strings->is_array() || tokens->size() != strings->size()) {
    return false;
  }
  for (size_t i = 0; i < tokens->size(); ++i) {
    const Json& token = (*tokens)[i];
    const Json& piece = (*strings)[i];
    if (!token.is_number_unsigned() || token.get<uint64_t>() > UINT32_MAX) return false;
    if (!piece.is_string()) return false;
    output->text += piece.get_ref<const std::string&>();
    output->ids.push_back(token.get<uint32_t>());
    output->ends.push_back(static_cast<uint32_t>(output->text.size()));
  }
  return true;
}

// Reads what a dataset holds, once; what is wrong stands in `message`.
class DatasetReader {
 public:
  DatasetReader(const DatasetOptions& options, std::string* message)
      : options_(options), message_(message) {}

  Result<SqliteDatabase> Open() {
    auto file = SqliteDatabase::OpenToRead(options_.path);
    if (!file) {
      const bool missing = file.error().code == Errc::kNotFound;
      return Refuse(file.error(), missing ? "there is no such file" : "cannot be opened");
    }
    if (auto status = file->Run("BEGIN"); !status) return Refuse(status.error(), file->Reason());
    HR_RETURN_IF_ERROR(CheckColumns(&*file));
    if (!options_.in_memory) return std::move(*file);
    auto copy = SqliteDatabase::CopyOf(*file);
    if (!copy) return Refuse(copy.error(), "cannot be copied to memory");
    return std::move(*copy);
  }

  Result<std::vector<Row>> Rows(SqliteDatabase* file) {
    auto select = file->Prepare(
        fmt::format("SELECT id, prompt_hash, n_gen_tokens FROM {}", QuotedName(options_.table)));
    if (!select) return Refuse(select.error(), file->Reason());
    std::vector<Row> rows;
    while (true) {
      const auto more = select->Step();
      if (!more) return Refuse(more.error(), file->Reason());
      if (!*more) break;
      const int64_t id = select->Integer(0);
      if (rows.size() == kMaxRows) {
        return Refuse(fmt::format("has more than {} rows", kMaxRows));
      }
      if (!select->IsBlob(1) || select->Blob(1).size() != PromptKey().size()) {
        return Refuse(fmt::format("column prompt_hash of row {} is no SHA-256", id));
      }
      const int64_t tokens = select->Integer(2);
      if (!select->IsInteger(2) || tokens < 0 || tokens > INT32_MAX) {
        return Refuse(fmt::format("column n_gen_tokens of row {} is no number of tokens", id));
      }
      rows.push_back({ShortKey(select->Blob(1)), static_cast<uint32_t>(tokens), id});
    }
    if (rows.empty()) return Refuse("has no rows");
    return rows;
  }

  // A file whose answers are of another form is refused by its first one.
  Status CheckAnswer(SqliteStatement* answer, int64_t id) {
    answer->Bind(1, id);
    const auto found = answer->Step();
    Output output;
    const bool good = found && *found && ParseAnswer(answer->Text(0), &output);
    answer->Reset();
    if (good) return {};
    return Refuse(
        fmt::format("column gen_tokens of row {} is no {{\"tokens\":[numbers],"
                    "\"strings\":[texts]}} with a text for each token",
                    id));
  }

 private:
  tl::unexpected<Error> Refuse(const Error& error, std::string_view what) {
    *message_ = fmt::format("dataset {}: {}", options_.path, what);
    return Fail(error);
  }
  tl::unexpected<Error> Refuse(std::string_view what) {
    const std::string where = fmt::format("table {} {}", options_.table, what);
    return Refuse(Error{Errc::kInvalid, 0, "the dataset is not as it should be"}, where);
  }

  Status CheckColumns(SqliteDatabase* file) {
    auto select = file->Prepare("SELECT name, upper(type) FROM pragma_table_info(?)");
    if (!select) return Refuse(select.error(), file->Reason());
    select->Bind(1, options_.table);
    size_t columns = 0;
    std::array<bool, kDatasetColumns.size()> found{};
    while (true) {
      const auto more = select->Step();
      if (!more) return Refuse(more.error(), file->Reason());
      if (!*more) break;
      ++columns;
      for (size_t i = 0; i < kDatasetColumns.size(); ++i) {
        const DatasetColumn& column = kDatasetColumns[i];
        if (select->Text(0) != column.name) continue;
        if (select->Text(1) != column.type) {
          return Refuse(fmt::format("must have column {} as {}, not as {}", column.name,
                                    column.type, select->Text(1)));
        }
        found[i] = true;
      }
    }
    if (columns == 0) return Refuse("is not there");
    for (size_t i = 0; i < found.size(); ++i) {
      if (!found[i]) return Refuse(fmt::format("lacks column {}", kDatasetColumns[i].name));
    }
    return {};
  }

  const DatasetOptions& options_;
  std::string* const message_;
};

class DatasetGenerator final : public Generator {
 public:
  DatasetGenerator(const GeneratorOptions& options, std::string path, SqliteDatabase file,
                   PromptHasher hasher)
      : tokenizer_(*options.tokenizer),
        max_model_len_(options.max_model_len),
        path_(std::move(path)),
        sentences_(tokenizer_),
        random_(options.seed),
        hasher_(std::move(hasher)),
        file_(std::move(file)) {}

  // In this order: by prompt, and for one prompt by length. REQUIRES: there are some.
  void SetRows(std::vector<Row> rows, SqliteStatement answer) {
    rows_ = std::move(rows);
    std::sort(rows_.begin(), rows_.end(), [](const Row& a, const Row& b) {
      return std::tie(a.key, a.tokens, a.id) < std::tie(b.key, b.tokens, b.id);
    });
    by_length_.resize(rows_.size());
    for (uint32_t i = 0; i < by_length_.size(); ++i) by_length_[i] = i;
    std::sort(by_length_.begin(), by_length_.end(), [&](uint32_t a, uint32_t b) {
      return std::tie(rows_[a].tokens, a) < std::tie(rows_[b].tokens, b);
    });
    answer_.emplace(std::move(answer));
  }

  Output Make(const GenerateJob& job) override {
    const Sampling& sampling = *job.sampling;
    const uint32_t limit = TokenLimit(job, max_model_len_);
    Output output = Answer(Choose(hasher_.Hash(*job.prompt_ids), limit).id);
    CutTo(limit, &output);
    const uint32_t fewest = sampling.ignore_eos ? limit : std::min(sampling.min_tokens, limit);
    sentences_.Fill(fewest, &random_, &output);
    output.finish = output.ids.size() == limit ? FinishReason::kLength : FinishReason::kStop;
    CutAtStop(sampling, tokenizer_, &output);
    return output;
  }

 private:
  // An answer to this prompt that fits; else a longer one; else any that fits; else any.
  const Row& Choose(const PromptKey& prompt, uint32_t limit) {
    const uint64_t key = ShortKey(prompt);
    const auto first = std::partition_point(rows_.begin(), rows_.end(),
                                            [&](const Row& row) { return row.key < key; });
    const auto last =
        std::partition_point(first, rows_.end(), [&](const Row& row) { return row.key == key; });
    if (first != last) {
      const auto longer =
          std::partition_point(first, last, [&](const Row& row) { return row.tokens <= limit; });
      const auto end = longer == first ? last : longer;
      return first[Below(static_cast<size_t>(end - first))];
    }
    const auto longer =
        std::partition_point(by_length_.begin(), by_length_.end(),
                             [&](uint32_t row) { return rows_[row].tokens <= limit; });
    const auto fitting = static_cast<size_t>(longer - by_length_.begin());
    return rows_[by_length_[Below(fitting == 0 ? by_length_.size() : fitting)]];
  }

  std::ptrdiff_t Below(size_t bound) { return static_cast<std::ptrdiff_t>(random_.Below(bound)); }

  Output Answer(int64_t id) {
    Output output;
    answer_->Bind(1, id);
    const auto found = answer_->Step();
    if (!found || !*found || !ParseAnswer(answer_->Text(0), &output)) {
      HR_ERROR(
          "dataset {}: row {} cannot be read: column gen_tokens must be "
          "{{\"tokens\":[numbers],\"strings\":[texts]}}; an empty answer is given",
          path_, id);
      output = {};
    }
    answer_->Reset();
    return output;
  }

  const text::Tokenizer& tokenizer_;
  const uint32_t max_model_len_;
  const std::string path_;
  const Sentences sentences_;
  Random random_;
  PromptHasher hasher_;
  std::vector<Row> rows_;
  std::vector<uint32_t> by_length_;  // indexes into rows_
  SqliteDatabase file_;
  std::optional<SqliteStatement> answer_;  // of file_: goes before it
};

}  // namespace

Result<std::unique_ptr<Generator>> OpenDataset(const GeneratorOptions& options,
                                               const DatasetOptions& dataset,
                                               std::string* message) {
  DatasetReader reader(dataset, message);
  HR_TRY(SqliteDatabase file, reader.Open());
  HR_TRY(std::vector<Row> rows, reader.Rows(&file));
  auto answer = file.Prepare(
      fmt::format("SELECT gen_tokens FROM {} WHERE id = ?", QuotedName(dataset.table)));
  HR_CHECK(answer);  // the columns are there
  HR_RETURN_IF_ERROR(reader.CheckAnswer(&*answer, rows.front().id));
  auto hasher = PromptHasher::Create();
  if (!hasher) {
    *message = "datasets need SHA-256, which this libcrypto lacks";
    return Fail(hasher.error());
  }
  auto made = std::make_unique<DatasetGenerator>(options, dataset.path, std::move(file),
                                                 std::move(*hasher));
  made->SetRows(std::move(rows), std::move(*answer));
  return std::unique_ptr<Generator>(std::move(made));
}

}  // namespace headrace::sim
