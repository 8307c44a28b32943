#include "sim/share_gpt.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

namespace headrace::sim {

namespace {

using Json = nlohmann::json;

constexpr std::pair<std::string_view, std::string_view> kRoles[] = {
    {"human", "user"},        {"user", "user"},           {"gpt", "assistant"},
    {"chatgpt", "assistant"}, {"assistant", "assistant"}, {"system", "system"},
};

// "": no role of a chat.
std::string_view RoleOf(std::string_view name) {
  for (const auto& [known, role] : kRoles) {
    if (name == known) return role;
  }
  return "";
}

// Takes the file's values as they are parsed. The depth tells what a value belongs to: 1 the list,
// 2 a conversation, 3 its turns, 4 one of them; what is deeper or elsewhere is passed over.
class ConversationReader final : public nlohmann::json_sax<Json> {
 public:
  explicit ConversationReader(const ConversationSink& sink) : sink_(sink) {}

  bool null() override { return Other(); }
  bool boolean(bool) override { return Other(); }
  bool number_integer(number_integer_t) override { return Other(); }
  bool number_unsigned(number_unsigned_t) override { return Other(); }
  bool number_float(number_float_t, const string_t&) override { return Other(); }
  bool binary(binary_t&) override { return Other(); }

  bool string(string_t& text) override {
    if (!InTurn()) return Other();
    if (key_ == "from" || key_ == "role") {
      turn_.role = RoleOf(text);
    } else if (key_ == "value" || key_ == "content") {
      turn_.text = std::move(text);
      has_text_ = true;
    }
    return true;
  }

  bool key(string_t& name) override {
    if (depth_ == 2 || InTurn()) key_ = std::move(name);
    return true;
  }

  bool start_object(size_t) override {
    if (!Enter(false)) return false;
    if (depth_ == 2) {
      turns_.clear();
      good_ = true;
      has_turns_ = in_turns_ = false;
    } else if (InTurn()) {
      turn_ = {};
      has_text_ = false;
    }
    return true;
  }

  bool end_object() override {
    if (InTurn()) {
      good_ = good_ && has_text_ && !turn_.role.empty() && turns_.size() < kMaxTurns;
      if (good_) turns_.push_back(std::move(turn_));
    }
    --depth_;
    return depth_ != 1 || EndConversation();
  }

  bool start_array(size_t) override {
    if (!Enter(true)) return false;
    if (depth_ == 3 && key_ == "conversations") {
      good_ = good_ && !has_turns_;  // twice: which one is meant?
      has_turns_ = in_turns_ = true;
    }
    return true;
  }

  bool end_array() override {
    if (depth_ == 3) in_turns_ = false;
    --depth_;
    if (depth_ == 1) sink_.skip();  // a list where a conversation should be
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    error_position_ = position;
    return false;
  }

  bool is_list() const { return is_list_; }
  bool is_stopped() const { return stopped_; }
  size_t error_position() const { return error_position_; }

 private:
  bool InTurn() const { return in_turns_ && depth_ == 4; }

  // A value that is neither text, list nor object.
  bool Other() {
    if (depth_ == 0) is_list_ = false;
    if (depth_ == 1) sink_.skip();
    if (depth_ == 3 && in_turns_) good_ = false;
    return depth_ > 0;
  }

  bool Enter(bool list) {
    if (depth_ == 0) is_list_ = list;
    // Among the turns there are objects only.
    if (depth_ == 3 && in_turns_ && list) good_ = false;
    ++depth_;
    return is_list_;
  }

  bool EndConversation() {
    if (!good_ || turns_.empty()) {
      sink_.skip();
      return true;
    }
    stopped_ = !sink_.take(turns_);
    return !stopped_;
  }

  const ConversationSink& sink_;
  size_t depth_ = 0;
  std::string key_;
  std::vector<ChatTurn> turns_;
  ChatTurn turn_;
  bool has_text_ = false;   // of the turn
  bool has_turns_ = false;  // of the conversation
  bool in_turns_ = false;
  bool good_ = false;
  bool is_list_ = true;
  bool stopped_ = false;
  size_t error_position_ = 0;
};

template <typename Input>
Status Parse(Input&& json, const ConversationSink& sink, std::string* message) {
  ConversationReader reader(sink);
  if (Json::sax_parse(std::forward<Input>(json), &reader) || reader.is_stopped()) return {};
  if (!reader.is_list()) {
    *message = "must be a list of conversations";
  } else {
    *message = fmt::format("is not JSON: byte {} cannot stand there", reader.error_position());
  }
  return Fail(Errc::kInvalid, "no list of conversations");
}

}  // namespace

Status ParseShareGpt(std::string_view json, const ConversationSink& sink, std::string* message) {
  return Parse(json, sink, message);
}

Status ParseShareGpt(std::FILE* json, const ConversationSink& sink, std::string* message) {
  return Parse(json, sink, message);
}

}  // namespace headrace::sim
