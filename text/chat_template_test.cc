// Templates against what transformers rendered (tests/text/make_goldens.py).
#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "text/files.h"

namespace headrace::text {

namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

constexpr const char* kHi = R"([{"role":"user","content":"hi"}])";

std::string MustRead(const std::string& name) {
  std::string why;
  const auto content = ReadFile(std::string(HEADRACE_TEXT_DATA) + "/" + name, 16u << 20, &why);
  EXPECT_TRUE(content) << why;
  return content ? *content : "";
}

ChatTemplate MustParse(const std::string& config, const std::string& jinja) {
  std::string why;
  auto parsed = ChatTemplate::Parse(config, jinja, &why);
  HR_CHECK(parsed);
  return std::move(*parsed);
}

// The text, or what it was refused for.
std::string Rendered(const ChatTemplate& chat, const ChatRequest& request) {
  std::string why;
  const auto text = chat.Render(request, &why);
  return text ? *text : std::string("refused: ").append(why);
}

std::string RenderedBy(const std::string& jinja, const ChatRequest& request) {
  return Rendered(MustParse("", jinja), request);
}

// `want` as make_goldens.py writes it: a text, "raised: " with the text of an exception, "refused".
void ExpectGolden(const ChatTemplate& chat, const Json& golden, const std::string& name) {
  const std::string messages = golden.at("messages");
  const std::string tools = golden.at("tools");
  const std::string variables = golden.at("variables");
  const std::string continued = golden.at("continued");
  const ChatRequest request{.messages = messages,
                            .tools = tools,
                            .documents = {},
                            .variables = variables,
                            .add_generation_prompt = golden.at("add_generation_prompt"),
                            .continued = continued,
                            .now_s = golden.at("now_s")};
  const std::string got = Rendered(chat, request);
  const std::string want = golden.at("want");
  const std::string raised = "raised: ";
  if (want == "refused") {
    EXPECT_TRUE(got.starts_with("refused: ")) << name << got;
  } else if (want.starts_with(raised)) {
    EXPECT_EQ(got, "refused: " + want.substr(raised.size())) << name;
  } else {
    EXPECT_EQ(got, want) << name;
  }
}

TEST(ChatTemplate, RendersWhatTransformersRenders) {
  const Json goldens = Json::parse(MustRead("rendered.json"));
  size_t compared = 0;
  for (const auto& [name, cases] : goldens.at("templates").items()) {
    const std::string file = std::string("templates/").append(name).append(".jinja");
    const ChatTemplate chat = MustParse(goldens.at("config"), MustRead(file));
    for (const auto& [title, golden] : cases.items()) {
      ExpectGolden(chat, golden, std::string(name).append(", ").append(title));
      ++compared;
    }
  }
  EXPECT_GE(compared, 30u);
}

TEST(ChatTemplate, TakesTheTextOfAnExceptionForItsUser) {
  EXPECT_EQ(RenderedBy("{{ raise_exception('no ' ~ messages[0].role) }}", {.messages = kHi}),
            "refused: no user");
}

TEST(ChatTemplate, SaysWhichPartOfTheRequestIsWrong) {
  const auto why = [](const ChatRequest& request) { return RenderedBy("x", request); };
  EXPECT_THAT(why({.messages = ""}), HasSubstr("messages: missing"));
  EXPECT_THAT(why({.messages = "null"}), HasSubstr("messages: missing"));
  EXPECT_THAT(why({.messages = "{}"}), HasSubstr("messages: JSON of a sequence is expected"));
  EXPECT_THAT(why({.messages = "[1"}), HasSubstr("messages: EOF"));
  EXPECT_THAT(why({.messages = kHi, .tools = "1"}), HasSubstr("tools: "));
  EXPECT_THAT(why({.messages = kHi, .documents = "1"}), HasSubstr("documents: "));
  EXPECT_THAT(why({.messages = kHi, .variables = "[]"}), HasSubstr("chat_template_kwargs: "));
  EXPECT_THAT(why({.messages = kHi, .continued = "content"}), HasSubstr("\"content\""));
}

TEST(ChatTemplate, GoesOnAfterARefusal) {
  const ChatTemplate chat = MustParse("", "{{ messages[0].content + 'x' }}");
  EXPECT_THAT(Rendered(chat, {.messages = "[{}]"}), HasSubstr("refused: "));
  EXPECT_EQ(Rendered(chat, {.messages = kHi}), "hix");
}

TEST(ChatTemplate, EndsALoopThatWouldNotEnd) {
  const std::string jinja =
      "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
  EXPECT_THAT(RenderedBy(jinja, {.messages = kHi}), HasSubstr("fuel"));
}

TEST(ChatTemplate, RefusesWhatNestsTooDeep) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_THAT(RenderedBy("{{ messages }}", {.messages = deep}), HasSubstr("recursion limit"));
}

TEST(ChatTemplate, PassesNoneForToolsThatAreNotThere) {
  const std::string jinja = "{{ tools is defined }} {{ tools is none }} {{ documents is none }}";
  EXPECT_EQ(RenderedBy(jinja, {.messages = kHi}), "True True True");
  EXPECT_EQ(RenderedBy(jinja, {.messages = kHi, .tools = "null"}), "True True True");
  EXPECT_EQ(RenderedBy(jinja, {.messages = kHi, .tools = "[]"}), "True False True");
}

TEST(ChatTemplate, LetsARequestReplaceSpecialTokens) {
  const ChatTemplate chat = MustParse(R"({"bos_token":"<s>"})", "{{ bos_token }}{{ own }}");
  EXPECT_EQ(Rendered(chat, {.messages = kHi}), "<s>");
  EXPECT_EQ(Rendered(chat, {.messages = kHi, .variables = R"({"bos_token":"b","own":1})"}), "b1");
}

TEST(ChatTemplate, TakesTheTemplateForToolsWhenThereAreAny) {
  const std::string config = R"({"chat_template":[{"name":"default","template":"plain"},
                                                  {"name":"tool_use","template":"tools"}]})";
  const ChatTemplate chat = MustParse(config, "");
  EXPECT_EQ(Rendered(chat, {.messages = kHi}), "plain");
  EXPECT_EQ(Rendered(chat, {.messages = kHi, .tools = "null"}), "plain");
  EXPECT_EQ(Rendered(chat, {.messages = kHi, .tools = "[{}]"}), "tools");
  EXPECT_EQ(Rendered(MustParse(config, "file"), {.messages = kHi, .tools = "[{}]"}), "file");
}

TEST(ChatTemplate, SaysWhatIsWrongWithAModel) {
  std::string why;
  EXPECT_EQ(ChatTemplate::Load("/nowhere", &why).error().code, Errc::kNotFound);
  EXPECT_THAT(why, HasSubstr("the model has no chat template"));
  EXPECT_EQ(ChatTemplate::Parse("[]", "x", &why).error().code, Errc::kInvalid);
  EXPECT_EQ(ChatTemplate::Parse("{\"chat_template\":1}", "", &why).error().code, Errc::kNotFound);
  EXPECT_EQ(ChatTemplate::Parse("", "{% if %}", &why).error().code, Errc::kInvalid);
  EXPECT_THAT(why, HasSubstr("(in chat template:1)"));
}

TEST(ChatTemplate, TellsTheTimeItIsGiven) {
  const std::string jinja = "{{ strftime_now('%Y-%m-%d %H:%M') }}";
  EXPECT_EQ(RenderedBy(jinja, {.messages = kHi, .now_s = 0}), "1970-01-01 00:00");
  EXPECT_EQ(RenderedBy(jinja, {.messages = kHi, .now_s = 1'709'251'199}), "2024-02-29 23:59");
}

}  // namespace

}  // namespace headrace::text
