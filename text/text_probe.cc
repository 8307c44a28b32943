// Reads one JSON object a line, does what its "op" says and answers with one JSON object a line:
// how tests/text compares this library with Python's packages, and how it is timed.
#include <ctime>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>

#include "text/chat_template.h"
#include "text/prefix_store.h"
#include "text/tokenizer.h"

namespace headrace::text {

namespace {

using Json = nlohmann::json;

// Of the process: other programs on the machine do not count.
double CpuNs() {
  timespec now{};
  HR_CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

Json Refused(const std::string& why) {
  return {{"error", why}};
}

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t at = 0; at + 1 < hex.size(); at += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16)));
  }
  return bytes;
}

class Probe {
 public:
  Json Answer(const Json& line) {
    const std::string op = line.at("op");
    if (op == "load") return Load(line.at("path"), line.value("chunk", 64));
    if (op == "template") return Compile(line.at("config"), line.at("jinja"));
    if (op == "render") return Render(line);
    if (tokenizer_ == nullptr) return Refused("no tokenizer is loaded");
    if (op == "decode") return Decode(line);
    const std::string text = FromHex(line.at("hex"));
    const Special special = line.value("special", false) ? Special::kAdd : Special::kNone;
    if (op == "encode") return Ids(tokenizer_->Encode(text, special));
    if (op == "store") return Ids(store_->Encode(text, special));
    if (op == "offsets") return Offsets(text, special);
    if (op == "time") return Time(text, line.at("rounds"));
    return Refused("unknown op");
  }

 private:
  Json Load(const std::string& path, size_t chunk_bytes) {
    std::string why;
    auto loaded = LoadTokenizer(path, &why);
    if (!loaded) return Refused(why);
    tokenizer_ = std::move(*loaded);
    store_ = std::make_unique<PrefixStore>(
        *tokenizer_, PrefixStore::Options{.max_bytes = 64u << 20, .chunk_bytes = chunk_bytes});
    const CutRules& rules = tokenizer_->cut_rules();
    return {{"vocab", tokenizer_->vocab_size()},
            {"in_text", rules.in_text},
            {"anchors", rules.anchors.size()},
            {"affixes_known", rules.affixes_known}};
  }

  Json Ids(const Result<std::vector<uint32_t>>& ids) const {
    if (!ids) return Refused(ids.error().what);
    const PrefixStore::Stats stats = store_->stats();
    return {{"ids", *ids}, {"hits", stats.hits}, {"reused", stats.reused_tokens}};
  }

  Json Offsets(const std::string& text, Special special) const {
    const auto made = tokenizer_->EncodeWithOffsets(text, special);
    if (!made) return Refused(made.error().what);
    Json offsets = Json::array();
    for (const ByteSpan& span : made->offsets) offsets.push_back({span.begin, span.end});
    return {{"ids", made->ids}, {"offsets", offsets}};
  }

  Json Decode(const Json& line) const {
    const auto ids = line.at("ids").get<std::vector<uint32_t>>();
    const auto text = tokenizer_->Decode(ids, line.value("skip", false));
    if (!text) return Refused(text.error().what);
    return {{"text", *text}};
  }

  Json Compile(const std::string& config, const std::string& jinja) {
    std::string why;
    auto made = ChatTemplate::Parse(config, jinja, &why);
    if (!made) return Refused(why);
    template_ = std::make_unique<ChatTemplate>(std::move(*made));
    return {{"ok", true}};
  }

  Json Render(const Json& line) const {
    if (template_ == nullptr) return Refused("no template is loaded");
    const std::string messages = line.at("messages");
    const std::string tools = line.value("tools", "");
    const std::string documents = line.value("documents", "");
    const std::string variables = line.value("variables", "");
    const std::string continued = line.value("continued", "");
    const ChatRequest request{.messages = messages,
                              .tools = tools,
                              .documents = documents,
                              .variables = variables,
                              .add_generation_prompt = line.value("add_generation_prompt", true),
                              .continued = continued,
                              .now_s = line.value("now_s", int64_t{0})};
    std::string why;
    const int rounds = line.value("rounds", 1);
    const double begin = CpuNs();
    Result<std::string> text = template_->Render(request, &why);
    for (int round = 1; round < rounds; ++round) text = template_->Render(request, &why);
    const double took_ns = CpuNs() - begin;
    if (!text) return Refused(why);
    return {{"text", *text}, {"ns", took_ns / rounds}};
  }

  template <typename Encode>
  static double NsPerToken(int rounds, const Encode& encode) {
    size_t tokens = 0;
    const double begin = CpuNs();
    for (int round = 0; round < rounds; ++round) tokens += encode()->size();
    const double took_ns = CpuNs() - begin;
    return took_ns / static_cast<double>(tokens);
  }

  // The store has seen the text but for its last 64 bytes.
  Json Time(const std::string& text, int rounds) const {
    const auto plain = [&] { return tokenizer_->Encode(text, Special::kNone); };
    const auto with_offsets = [&]() -> Result<std::vector<uint32_t>> {
      HR_TRY(Encoding made, tokenizer_->EncodeWithOffsets(text, Special::kNone));
      return std::move(made.ids);
    };
    if (!plain() || plain()->empty()) return Refused("nothing to time");
    PrefixStore store(*tokenizer_, {});
    const auto stored = [&] { return store.Encode(text, Special::kNone); };
    if (!store.Encode(text.substr(0, text.size() - 64), Special::kNone)) return Refused("refused");
    return {{"tokens", plain()->size()},
            {"encode_ns_per_token", NsPerToken(rounds, plain)},
            {"offsets_ns_per_token", NsPerToken(rounds, with_offsets)},
            {"store_ns_per_token", NsPerToken(rounds, stored)},
            {"store_bytes", store.stats().bytes},
            {"store_reused", store.stats().reused_tokens}};
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<PrefixStore> store_;
  std::unique_ptr<ChatTemplate> template_;
};

}  // namespace

}  // namespace headrace::text

namespace {

using Json = nlohmann::json;

// A line that is not understood is answered too.
Json AnswerTo(headrace::text::Probe& probe, const std::string& line) {
  try {
    return probe.Answer(Json::parse(line));
  } catch (const std::exception& error) {
    return Json::object({{"error", error.what()}});
  }
}

}  // namespace

int main() try {
  headrace::text::Probe probe;
  std::string line;
  while (std::getline(std::cin, line)) {
    const Json answer = AnswerTo(probe, line);
    std::cout << answer.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n' << std::flush;
  }
  return 0;
} catch (const std::exception&) {
  return 1;
}
