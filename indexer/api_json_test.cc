#include "indexer/api_json.h"

#include <gtest/gtest.h>

namespace headrace::indexer {
namespace {

ScoreCall Read(std::string_view body, Dialect dialect = Dialect::kHeadrace) {
  ApiError error;
  auto call = ParseScoreCall(body, dialect, {}, &error);
  EXPECT_TRUE(call) << body << " " << error.field << ": " << error.message;
  return call ? *call : ScoreCall{};
}

// "field: message" of a body that is refused.
std::string Refusal(std::string_view body, Dialect dialect = Dialect::kHeadrace,
                    const ApiLimits& limits = {}) {
  ApiError error;
  EXPECT_FALSE(ParseScoreCall(body, dialect, limits, &error)) << body;
  EXPECT_EQ(error.status, 400);
  return error.field + ": " + error.message;
}

TEST(ScoreCall, IsReadFromAPrompt) {
  const ScoreCall call = Read(R"({"model": "m", "prompt": "h\u00e9llo", "pods": []})");
  EXPECT_EQ(call.model, "m");
  EXPECT_EQ(call.input, ScoreCall::Input::kPrompt);
  EXPECT_EQ(call.prompt, "h\xc3\xa9llo");
  EXPECT_FALSE(call.filter);  // an empty list means all
}

TEST(ScoreCall, IsReadFromTokens) {
  const ScoreCall call = Read(
      R"({"model":"m","token_ids":[0,1,4294967295],"pods":["a","b"],
          "extra":{"lora":["sql","/l"],"mm":[["img",3,5]],"cache_salt":"s"}})");
  EXPECT_EQ(call.input, ScoreCall::Input::kTokens);
  EXPECT_EQ(call.tokens, (std::vector<uint32_t>{0, 1, 4294967295u}));
  EXPECT_TRUE(call.filter);
  EXPECT_EQ(call.pods, (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(call.extras.lora);
  EXPECT_EQ(call.extras.lora->name, "sql");
  EXPECT_EQ(call.extras.lora->path, "/l");
  ASSERT_EQ(call.extras.mm.size(), 1u);
  EXPECT_EQ(call.extras.mm[0].id, "img");
  EXPECT_EQ(call.extras.mm[0].offset, 3u);
  EXPECT_EQ(call.extras.mm[0].length, 5u);
  EXPECT_EQ(call.extras.salt, "s");
}

TEST(ScoreCall, HandsChatPartsOnAsTheyStandInOrder) {
  const ScoreCall call = Read(
      R"({"model":"m","messages":[{"role":"user","content":"x","a":1}],"tools":[{"z":1,"b":2}],
          "chat_template_kwargs":{"thinking":false},"add_generation_prompt":false})");
  EXPECT_EQ(call.input, ScoreCall::Input::kMessages);
  EXPECT_EQ(call.messages, R"([{"role":"user","content":"x","a":1}])");
  EXPECT_EQ(call.tools, R"([{"z":1,"b":2}])");
  EXPECT_EQ(call.template_kwargs, R"({"thinking":false})");
  EXPECT_FALSE(call.add_generation_prompt);
  EXPECT_EQ(call.documents, "");
  EXPECT_FALSE(
      Read(R"({"model":"m","messages":[{}],"continue_final_message":true})").add_generation_prompt);
}

TEST(ScoreCall, OfLlmdIsReadWithItsNames) {
  const ScoreCall prompt = Read(R"({"prompt":"p","model":"m","stream":true,"cache_salt":"s"})",
                                Dialect::kLlmdCompletions);
  EXPECT_EQ(prompt.prompt, "p");
  EXPECT_EQ(prompt.extras.salt, "s");
  const char* kMessages = R"([{"role":"user"}])";
  for (const char* body : {R"({"model":"m","messages":[{"role":"user"}],"temperature":0})",
                           R"({"model":"m","messages":[[{"role":"user"}]]})",
                           R"({"model":"m","conversation":[{"role":"user"}]})"}) {
    EXPECT_EQ(Read(body, Dialect::kLlmdChat).messages, kMessages) << body;
  }
  EXPECT_EQ(Refusal(R"({"model":"m"})", Dialect::kLlmdCompletions),
            "prompt: is missing: a text is needed");
  EXPECT_EQ(Refusal(R"({"model":"m"})", Dialect::kLlmdChat),
            "messages: is missing: a list of messages is needed");
}

TEST(ScoreCall, RefusalNamesTheFieldAndWhatWouldBeRight) {
  const std::pair<const char*, const char*> kCases[] = {
      {R"([])", ": the body must be an object: {\"model\": ...}"},
      {R"({"prompt":"x"})", "model: is missing: a text is needed"},
      {R"({"model":7,"prompt":"x"})", "model: must be a text"},
      {R"({"model":"","prompt":"x"})", "model: must not be empty"},
      {R"({"model":"m"})", "prompt: is missing: prompt, messages or token_ids is needed"},
      {R"({"model":"m","prompt":""})", "prompt: must not be empty"},
      {R"({"model":"m","prompt":["x"]})", "prompt: must be a text"},
      {R"({"model":"m","prompt":"x","token_ids":[1]})",
       "prompt: only one of prompt, messages and token_ids may be given"},
      {R"({"model":"m","messages":[{}],"token_ids":[1]})",
       "messages: only one of prompt, messages and token_ids may be given"},
      {R"({"model":"m","messages":{}})", "messages: must be a list"},
      {R"({"model":"m","messages":[]})", "messages: must not be empty"},
      {R"({"model":"m","messages":[{}],"tools":{}})", "tools: must be a list"},
      {R"({"model":"m","messages":[{}],"chat_template_kwargs":[]})",
       "chat_template_kwargs: must be an object"},
      {R"({"model":"m","messages":[{}],"chat_template":"x"})",
       "chat_template: a request may not bring its own; the model's is taken"},
      {R"({"model":"m","messages":[{}],"add_generation_prompt":"yes"})",
       "add_generation_prompt: must be true or false"},
      {R"({"model":"m","messages":[{}],"add_generation_prompt":true,
           "continue_final_message":true})",
       "continue_final_message: and add_generation_prompt exclude each other"},
      {R"({"model":"m","token_ids":"1,2"})", "token_ids: must be a list of whole numbers"},
      {R"({"model":"m","token_ids":[1,-2]})",
       "token_ids[1]: must be a whole number from 0 to 4294967295"},
      {R"({"model":"m","token_ids":[1.5]})",
       "token_ids[0]: must be a whole number from 0 to 4294967295"},
      {R"({"model":"m","token_ids":[4294967296]})",
       "token_ids[0]: must be a whole number from 0 to 4294967295"},
      {R"({"model":"m","prompt":"x","pods":"a"})", "pods: must be a list of pods' names"},
      {R"({"model":"m","prompt":"x","pods":["a",1]})", "pods[1]: must be a text"},
      {R"({"model":"m","prompt":"x","extra":"s"})",
       "extra: must be an object: {\"lora\": ..., \"mm\": ..., \"cache_salt\": ...}"},
      {R"({"model":"m","prompt":"x","extra":{"salt":"s"}})",
       "extra.salt: is no field here; the fields are cache_salt, lora, mm"},
      {R"({"model":"m","prompt":"x","extra":{"lora":[1]}})", "extra.lora[0]: must be a text"},
      {R"({"model":"m","prompt":"x","extra":{"lora":[]}})",
       "extra.lora: must be a name, or a list of a name and a path"},
      {R"({"model":"m","prompt":"x","extra":{"mm":[["i",0]]}})",
       "extra.mm[0]: must be [id, offset, length]"},
      {R"({"model":"m","prompt":"x","extra":{"mm":[["i",0,-1]]}})",
       "extra.mm[0][2]: must be a whole number from 0 to 2147483647"},
      {R"({"model":"m","prompt":"x","extra":{"cache_salt":1}})",
       "extra.cache_salt: must be a text"},
  };
  for (const auto& [body, refusal] : kCases) EXPECT_EQ(Refusal(body), refusal) << body;
  EXPECT_EQ(
      Refusal(R"({"model":"m","prompt":"x","pod":"a"})"),
      "pod: is no field here; the fields are add_generation_prompt, chat_template, "
      "chat_template_kwargs, continue_final_message, documents, extra, messages, model, pods, "
      "prompt, token_ids, tools");
}

TEST(ScoreCall, RefusesWhatIsNoJson) {
  EXPECT_EQ(Refusal(""), ": the body is not JSON: byte 1 cannot stand there");
  EXPECT_EQ(Refusal(R"({"model":"m",})"), ": the body is not JSON: byte 14 cannot stand there");
  EXPECT_EQ(Refusal("{\"model\":\"\xff\"}"), ": the body is not JSON: byte 11 cannot stand there");
  EXPECT_EQ(Refusal(R"({"model":"m","token_ids":[1e999]})"),
            ": the body is not JSON: a number is out of range");
  EXPECT_EQ(Refusal(std::string(1 << 20, '[')), ": the body is nested deeper than 64 levels");
  // A bracket in a text is no bracket, also behind an escaped quote.
  Read(R"({"model":"m","prompt":"\")" + std::string(100, '[') + R"("})");
}

TEST(ScoreCall, HasLimits) {
  const ApiLimits limits{.max_tokens = 3, .max_pods = 1};
  EXPECT_EQ(Refusal(R"({"model":"m","token_ids":[1,2,3,4]})", Dialect::kHeadrace, limits),
            "token_ids: has 4 tokens; at most 3 may be (--index-max-tokens)");
  EXPECT_EQ(Refusal(R"({"model":"m","prompt":"x","pods":["a","b"]})", Dialect::kHeadrace, limits),
            "pods: has 2 names; at most 1 may be (--index-max-pods)");
}

TEST(ScoreAnswer, IsWrittenBestFirst) {
  ScoreAnswer answer{.model = "m\"", .tokens = 33, .blocks = 2, .pods = {}};
  answer.pods.push_back({.pod = "b", .score = 1.5, .normalized = 0.75, .blocks = 2});
  answer.pods.push_back({.pod = "c", .score = 2, .normalized = 1, .blocks = 2, .uncertain = true});
  answer.pods.push_back({.pod = "a", .score = 1.5, .normalized = 0.75, .blocks = 2});
  SortScores(&answer.pods);
  EXPECT_EQ(ScoreBody(answer),
            "{\"model\":\"m\\\"\",\"tokens\":33,\"blocks\":2,\"pods\":["
            "{\"pod\":\"c\",\"score\":2,\"normalized\":1,\"blocks\":2,\"uncertain\":true},"
            "{\"pod\":\"a\",\"score\":1.5,\"normalized\":0.75,\"blocks\":2},"
            "{\"pod\":\"b\",\"score\":1.5,\"normalized\":0.75,\"blocks\":2}]}\n");
  EXPECT_EQ(LlmdScoreBody(answer), "{\"c\":2,\"a\":1.5,\"b\":1.5}\n");
  EXPECT_EQ(LlmdScoreBody({}), "{}\n");
}

TEST(ApiError, IsWrittenWithTheFieldOfItsOwn) {
  EXPECT_EQ(ErrorBody({.status = 400, .field = "pods[1]", .message = "must be a \"text\""}),
            "{\"error\":{\"field\":\"pods[1]\",\"message\":\"must be a \\\"text\\\"\"}}\n");
  EXPECT_EQ(JsonText("\xff"), "\"\xef\xbf\xbd\"");
}

TEST(AnnounceCall, NamesAPodAndHowLongToBelieveIt) {
  const ScoreCall call =
      Read(R"({"model":"m","token_ids":[1],"pod":"a","tier":"cpu","ttl_seconds":1.5})",
           Dialect::kAnnounce);
  EXPECT_EQ(call.pod, "a");
  EXPECT_EQ(call.tier, "cpu");
  EXPECT_EQ(call.ttl, milliseconds(1500));
  const ScoreCall plain = Read(R"({"model":"m","prompt":"x","pod":"a"})", Dialect::kAnnounce);
  EXPECT_EQ(plain.ttl, seconds(2));
  for (const char* ttl : {"0", "-1", "600.5", "\"2\"", "1e300", "[]"}) {
    const std::string body =
        std::string(R"({"model":"m","prompt":"x","pod":"a","ttl_seconds":)") + ttl + "}";
    EXPECT_EQ(Refusal(body, Dialect::kAnnounce),
              "ttl_seconds: must be a number above 0, and at most 600");
  }
  EXPECT_EQ(Refusal(R"({"model":"m","prompt":"x"})", Dialect::kAnnounce),
            "pod: is missing: a text is needed");
  EXPECT_EQ(Refusal(R"({"model":"m","prompt":"x","pod":"a","pods":[]})", Dialect::kAnnounce)
                .find("pods: is no field here"),
            0u);
  EXPECT_EQ(Refusal(R"({"model":"m","prompt":"x","pod":"a"})").find("pod: is no field here"), 0u);
}

TEST(PodCall, NamesWhereAPodPublishes) {
  ApiError error;
  const auto source = ParsePodCall(
      R"({"endpoint":"tcp://10.0.0.1:5557","replay_endpoint":"tcp://10.0.0.1:5657","model":"m"})",
      "a", &error);
  ASSERT_TRUE(source) << error.message;
  EXPECT_EQ(*source, (EventSource{"a", "m", "tcp://10.0.0.1:5557", "tcp://10.0.0.1:5657", "kv@"}));
  const auto other = ParsePodCall(R"({"endpoint":"tcp://h:1","topic_filter":""})", "a", &error);
  ASSERT_TRUE(other);
  EXPECT_EQ(other->topic_filter, "");
  const std::pair<std::string, const char*> kCases[] = {
      {"{}", "endpoint"},
      {"[]", ""},
      {R"({"endpoint":"10.0.0.1:5557"})", "endpoint"},
      {R"({"endpoint":"tcp://*:5557"})", "endpoint"},
      {R"({"endpoint":"ipc:///x"})", "endpoint"},
      {R"({"endpoint":7})", "endpoint"},
      {R"({"endpoint":"tcp://h:1","replay_endpoint":"tcp://h"})", "replay_endpoint"},
      {R"({"endpoint":"tcp://h:1","replayEndpoint":"tcp://h:2"})", "replayEndpoint"},
      {R"({"endpoint":"tcp://h:1","topic_filter":")" + std::string(600, 'x') + "\"}",
       "topic_filter"},
  };
  for (const auto& [body, field] : kCases) {
    EXPECT_FALSE(ParsePodCall(body, "a", &error)) << body;
    EXPECT_EQ(error.field, field) << body << error.message;
  }
}

}  // namespace
}  // namespace headrace::indexer
