#include "sim/tools.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sim/schema_check.h"

namespace headrace::sim {
namespace {

using Json = nlohmann::json;

ToolRequest Read(std::string_view body, std::optional<ApiError>* error) {
  JsonDocument document;
  const auto root = document.ParseObject(body);
  EXPECT_TRUE(root) << body;
  FieldReader fields(*root, "", error);
  return ReadTools(&fields);
}
ToolRequest Read(std::string_view body) {
  std::optional<ApiError> error;
  ToolRequest request = Read(body, &error);
  EXPECT_FALSE(error) << body << ": " << error->message;
  return request;
}
// The field that is refused.
std::string Refusal(std::string_view body) {
  std::optional<ApiError> error;
  Read(body, &error);
  EXPECT_TRUE(error) << body;
  return error ? error->param.value_or("?") : "";
}

constexpr std::string_view kTwoTools =
    R"("tools":[{"type":"function","function":{"name":"a","description":"d","parameters":{}}},
       {"type":"function","function":{"name":"b"}}])";
ToolRequest ReadChoice(std::string_view fields) {
  return Read(fmt::format("{{{}{}}}", kTwoTools, fields));
}

ToolRequest WithSchema(std::string_view schema) {
  return {.tools = {{"f", std::string(schema)}}, .choice = ToolChoice::kRequired, .named = ""};
}
// What is told of a schema that is refused; "": it is not.
std::string WrongSchema(std::string_view schema) {
  const auto error = CheckTools(WithSchema(schema), {});
  if (!error) return "";
  EXPECT_EQ(error->status, 400);
  EXPECT_EQ(error->param, "tools[0].function.parameters");
  return error->message;
}

// One value of property x for each of many seeds.
std::vector<Json> Values(const std::string& schema, const ToolOptions& options = {}) {
  const std::string parameters =
      fmt::format(R"({{"type":"object","properties":{{"x":{}}},"required":["x"],
                      "$defs":{{"d":{{"enum":["ref"]}},"a/b~c":{{"const":7}}}}}})",
                  schema);
  EXPECT_EQ(WrongSchema(parameters), "");
  std::vector<Json> values;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    const auto calls = MakeToolCalls(WithSchema(parameters), options, &random);
    EXPECT_FALSE(calls.empty());
    for (const ToolCall& call : calls) values.push_back(Json::parse(call.arguments).at("x"));
  }
  return values;
}
// Whether all fulfil it, and both halves of it are seen.
template <typename Rule>
bool All(const std::vector<Json>& values, const Rule& rule) {
  for (const Json& value : values) {
    if (!rule(value)) return false;
  }
  return !values.empty();
}
bool Some(const std::vector<Json>& values, const Json& wanted) {
  return std::find(values.begin(), values.end(), wanted) != values.end();
}

TEST(Tools, AreRead) {
  const ToolRequest request = ReadChoice("");
  ASSERT_EQ(request.tools.size(), 2u);
  EXPECT_EQ(request.tools[0].name, "a");
  EXPECT_EQ(request.tools[0].parameters, "{}");
  EXPECT_EQ(request.tools[1].parameters, "");
  EXPECT_EQ(request.choice, ToolChoice::kAuto);
  EXPECT_TRUE(request.parallel);
  EXPECT_EQ(ReadChoice(R"(,"tool_choice":"none")").choice, ToolChoice::kNone);
  EXPECT_EQ(ReadChoice(R"(,"tool_choice":"auto")").choice, ToolChoice::kAuto);
  EXPECT_EQ(ReadChoice(R"(,"tool_choice":"required")").choice, ToolChoice::kRequired);
  EXPECT_FALSE(ReadChoice(R"(,"parallel_tool_calls":false)").parallel);
  const ToolRequest named =
      ReadChoice(R"(,"tool_choice":{"type":"function","function":{"name":"b"}})");
  EXPECT_EQ(named.choice, ToolChoice::kNamed);
  EXPECT_EQ(named.named, "b");
  EXPECT_TRUE(Read(R"({"tools":null,"tool_choice":null})").tools.empty());
  EXPECT_TRUE(Read(R"({"tools":[],"tool_choice":"none"})").tools.empty());
}

TEST(Tools, AreRefusedWithTheFieldThatIsWrong) {
  EXPECT_EQ(Refusal(R"({"tools":{}})"), "tools");
  EXPECT_EQ(Refusal(R"({"tools":[1]})"), "tools[0]");
  EXPECT_EQ(Refusal(R"({"tools":[{"type":"x"}]})"), "tools[0].type");
  EXPECT_EQ(Refusal(R"({"tools":[{"type":"function"}]})"), "tools[0].function");
  EXPECT_EQ(Refusal(R"({"tools":[{"function":{"name":""}}]})"), "tools[0].function.name");
  EXPECT_EQ(Refusal(R"({"tools":[{"function":{"name":"a"}},{"function":{}}]})"),
            "tools[1].function.name");
  EXPECT_EQ(Refusal(R"({"tools":[{"function":{"name":"a","parameters":[]}}]})"),
            "tools[0].function.parameters");
  EXPECT_EQ(Refusal(R"({"tool_choice":"auto"})"), "tool_choice");
  EXPECT_EQ(Refusal(fmt::format(R"({{{},"tool_choice":"maybe"}})", kTwoTools)), "tool_choice");
  EXPECT_EQ(Refusal(fmt::format(R"({{{},"tool_choice":{{}}}})", kTwoTools)), "tool_choice");
  EXPECT_EQ(Refusal(fmt::format(R"({{{},"tool_choice":1}})", kTwoTools)), "tool_choice");
}

TEST(Tools, MustHoldTheOneThatIsNamed) {
  ToolRequest request = ReadChoice(R"(,"tool_choice":{"function":{"name":"c"}})");
  const auto error = CheckTools(request, {.skip_validation = true});
  ASSERT_TRUE(error);
  EXPECT_EQ(error->param, "tool_choice");
  request.named = "b";
  EXPECT_FALSE(CheckTools(request, {}));
}

TEST(Tools, MayHaveSchemasWithCommonKeywords) {
  EXPECT_EQ(WrongSchema(R"({"$schema":"https://json-schema.org/draft/2020-12/schema",
    "$id":"x","title":"T","description":"D","type":"object","additionalProperties":false,
    "required":["a"],"$defs":{"d":{"type":["string","null"],"default":null}},
    "properties":{
      "a":{"$ref":"#/$defs/d"},
      "b":{"type":"array","items":{"type":"integer","minimum":1,"multipleOf":2},"minItems":0,
           "uniqueItems":true},
      "c":{"anyOf":[{"type":"string","format":"date","pattern":"^x"},{"type":"null"}],
           "default":null,"examples":["y"]},
      "d":{"enum":["x",1,null]},
      "e":{"oneOf":[true],"allOf":[{"const":1}],"not":{"type":"null"}},
      "f":{"type":"object","additionalProperties":{"type":"number"},"patternProperties":{}},
      "g":{"type":"array","prefixItems":[{}],"items":[{"type":"boolean"}]},
      "h":{"type":null,"readOnly":true,"deprecated":false}}})"),
            "");
  EXPECT_EQ(WrongSchema("{}"), "");
  EXPECT_EQ(WrongSchema(R"({"type":["object","null"]})"), "");
}

TEST(Tools, AreRefusedWithWhereTheSchemaIsWrong) {
  const auto in_x = [](std::string_view schema) {
    return WrongSchema(fmt::format(R"({{"type":"object","properties":{{"x":{}}}}})", schema));
  };
  const std::string x = "tool \"f\": parameters.properties.x";
  EXPECT_THAT(in_x(R"({"type":"strin"})"), testing::StartsWith(x + ".type: \"strin\" is no type"));
  for (const auto& [schema, place] : std::vector<std::pair<std::string_view, std::string>>{
           {"1", ":"},
           {R"({"type":1})", ".type:"},
           {R"({"type":[]})", ".type:"},
           {R"({"type":["x"]})", ".type:"},
           {R"({"enum":[]})", ".enum:"},
           {R"({"enum":"a"})", ".enum:"},
           {R"({"properties":[]})", ".properties:"},
           {R"({"properties":{"y":1}})", ".properties.y:"},
           {R"({"required":"a"})", ".required:"},
           {R"({"required":[1]})", ".required:"},
           {R"({"items":1})", ".items:"},
           {R"({"items":[{"type":"x"}]})", ".items.type:"},
           {R"({"anyOf":[]})", ".anyOf:"},
           {R"({"oneOf":{}})", ".oneOf:"},
           {R"({"allOf":[1]})", ".allOf:"},
           {R"({"not":1})", ".not:"},
           {R"({"$ref":1})", ".$ref:"},
           {R"({"$ref":"#/$defs/y"})", ".$ref:"},
           {R"({"$ref":"http://a/b"})", ".$ref:"},
           {R"({"minimum":"1"})", ".minimum:"},
           {R"({"minItems":-1})", ".minItems:"},
           {R"({"maxLength":1.5})", ".maxLength:"},
       }) {
    EXPECT_THAT(in_x(schema), testing::StartsWith(x + place)) << schema;
  }
  EXPECT_EQ(WrongSchema(R"({"type":"string"})"),
            "tool \"f\": parameters: the type of a tool's parameters is \"object\"");
  EXPECT_THAT(WrongSchema(fmt::format(R"({{"title":"{}"}})", std::string(kMaxSchemaBytes, 'x'))),
              testing::HasSubstr("longer than"));
}

TEST(Tools, AreNotCheckedWhenThatIsSkipped) {
  EXPECT_FALSE(CheckTools(WithSchema(R"({"type":"x"})"), {.skip_validation = true}));
}

TEST(ToolCalls, FitTheTypes) {
  EXPECT_TRUE(All(Values(R"({"type":"string"})"), [](const Json& x) { return x.is_string(); }));
  const auto truths = Values(R"({"type":"boolean"})");
  EXPECT_TRUE(All(truths, [](const Json& x) { return x.is_boolean(); }));
  EXPECT_TRUE(Some(truths, true) && Some(truths, false));
  EXPECT_TRUE(All(Values(R"({"type":"null"})"), [](const Json& x) { return x.is_null(); }));
  const auto chosen = Values(R"({"enum":["a",null,{"b":"\u0041"}]})");
  EXPECT_TRUE(Some(chosen, "a") && Some(chosen, nullptr) && Some(chosen, {{"b", "A"}}));
  EXPECT_TRUE(All(Values(R"({"const":null})"), [](const Json& x) { return x.is_null(); }));
  EXPECT_TRUE(All(Values("true"), [](const Json& x) { return x.is_string(); }));
}

TEST(ToolCalls, KeepIntegersInRange) {
  const auto integers = [](const char* schema, int64_t low, int64_t high) {
    const auto values = Values(schema, {.max_integer = 12, .min_integer = 10});
    EXPECT_TRUE(Some(values, low)) << schema;
    EXPECT_TRUE(Some(values, high)) << schema;
    return All(values,
               [&](const Json& x) { return x.is_number_integer() && x >= low && x <= high; });
  };
  EXPECT_TRUE(integers(R"({"type":"integer"})", 10, 12));
  EXPECT_TRUE(integers(R"({"type":"integer","minimum":11.5})", 12, 12));
  EXPECT_TRUE(integers(R"({"type":"integer","minimum":20})", 20, 20));
  EXPECT_TRUE(integers(R"({"type":"integer","maximum":3})", 3, 3));
  EXPECT_TRUE(
      integers(R"({"type":"integer","exclusiveMinimum":10,"exclusiveMaximum":12})", 11, 11));
  const auto wide =
      Values(R"({"type":"integer"})", {.max_integer = INT64_MAX, .min_integer = INT64_MIN});
  EXPECT_TRUE(All(wide, [](const Json& x) { return x.is_number_integer(); }));
}

TEST(ToolCalls, KeepNumbersInRange) {
  const auto between = [](const char* schema, double low, double high) {
    return All(Values(schema, {.max_number = 2.5, .min_number = 1.5}),
               [&](const Json& x) { return x.is_number() && x >= low && x <= high; });
  };
  EXPECT_TRUE(between(R"({"type":"number"})", 1.5, 2.5));
  EXPECT_TRUE(between(R"({"type":"number","minimum":2})", 2, 2.5));
  EXPECT_TRUE(between(R"({"type":"number","maximum":-1})", -1, -1));
  EXPECT_TRUE(All(Values(R"({"type":"number","exclusiveMinimum":100})"),
                  [](const Json& x) { return x > 100; }));
  EXPECT_TRUE(All(Values(R"({"type":"number","minimum":-1e308,"maximum":1e308})"),
                  [](const Json& x) { return x.is_number(); }));
}

TEST(ToolCalls, KeepLengths) {
  const auto lengths = [](const char* schema, size_t low, size_t high) {
    return All(Values(schema, {.max_array_length = 4, .min_array_length = 2}), [&](const Json& x) {
      const size_t size = x.is_string() ? x.get<std::string>().size() : x.size();
      return size >= low && size <= high;
    });
  };
  EXPECT_TRUE(lengths(R"({"type":"array"})", 2, 4));
  EXPECT_TRUE(lengths(R"({"type":"array","minItems":6})", 6, 6));
  EXPECT_TRUE(lengths(R"({"type":"array","maxItems":0})", 0, 0));
  EXPECT_TRUE(lengths(R"({"type":"array","minItems":1000000000})", 1000, 1000));
  EXPECT_TRUE(lengths(R"({"type":"string","minLength":30})", 30, 30));
  EXPECT_TRUE(lengths(R"({"type":"string","maxLength":2})", 2, 2));
  EXPECT_TRUE(All(Values(R"({"type":"array","items":{"type":"integer"}})"), [](const Json& x) {
    return x.is_array() && !x.empty() && x.size() <= 5 && x.at(0).is_number_integer();
  }));
  EXPECT_TRUE(All(Values(R"({"type":"array","minItems":3,"prefixItems":[{"const":1},{"const":2}],
                             "items":{"const":3}})"),
                  [](const Json& x) { return x[0] == 1 && x[1] == 2 && x[2] == 3; }));
}

TEST(ToolCalls, FollowReferencesAndAlternatives) {
  EXPECT_TRUE(All(Values(R"({"$ref":"#/$defs/d"})"), [](const Json& x) { return x == "ref"; }));
  EXPECT_TRUE(All(Values(R"({"$ref":"#/$defs/a~1b~0c"})"), [](const Json& x) { return x == 7; }));
  for (const char* name : {"anyOf", "oneOf"}) {
    const auto values = Values(fmt::format(R"({{"{}":[{{"const":1}},{{"const":"b"}}]}})", name));
    EXPECT_TRUE(Some(values, 1) && Some(values, "b")) << name;
  }
  EXPECT_TRUE(All(Values(R"({"allOf":[{"type":"object","properties":{"a":{"const":1}},
                             "required":["a"]},
                             {"properties":{"b":{"const":2}},"required":["b"]}]})"),
                  [](const Json& x) { return x.at("a") == 1 && x.at("b") == 2; }));
}

TEST(ToolCalls, HoldWhatIsRequiredAndMaybeTheRest) {
  const std::string schema =
      R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},
          "required":["a","c"]})";
  const auto objects = Values(schema);
  const auto has_b = [](const Json& x) { return x.contains("b"); };
  EXPECT_TRUE(All(objects, [](const Json& x) { return x.contains("a") && x.contains("c"); }));
  EXPECT_TRUE(std::any_of(objects.begin(), objects.end(), has_b));
  EXPECT_FALSE(std::all_of(objects.begin(), objects.end(), has_b));
  EXPECT_TRUE(All(Values(schema, {.not_required_field_percent = 100}), has_b));
  EXPECT_FALSE(All(
      Values(schema, {.not_required_param_percent = 100, .not_required_field_percent = 0}), has_b));
  Random random(1);
  const ToolRequest request = WithSchema(R"({"properties":{"p":{}}})");
  const auto arguments = [&](uint32_t percent) {
    return MakeToolCalls(request, {.not_required_param_percent = percent}, &random)[0].arguments;
  };
  EXPECT_EQ(arguments(0), "{}");
  EXPECT_THAT(arguments(100), testing::StartsWith("{\"p\": \""));
}

// Each of these would never end, or fill all memory.
TEST(ToolCalls, EndWhateverTheSchemaSays) {
  for (const char* schema :
       {R"({"$ref":"#"})",
        R"({"allOf":[{"$ref":"#"},{"$ref":"#"},{"$ref":"#"},{"$ref":"#"},{"$ref":"#"}]})",
        R"({"properties":{"a":{"$ref":"#"},"b":{"$ref":"#"}},"required":["a","b"]})",
        R"({"properties":{"a":{"type":"array","minItems":1000,"items":{"$ref":"#/properties/a"}}},
            "required":["a"]})",
        R"({"properties":{"a":{"type":"string","minLength":1000000000}},"required":["a"]})",
        R"({"properties":[1],"required":7,"$ref":"#/x/y"})", R"({"type":"x","enum":[]})", "[]",
        "{"}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      Random random(seed);
      for (const ToolCall& call : MakeToolCalls(WithSchema(schema), {}, &random)) {
        EXPECT_TRUE(Json::parse(call.arguments).is_object()) << schema;
        EXPECT_LT(call.arguments.size(), 200000u) << schema;
      }
    }
  }
}

// How often each number of calls answered 1000 times.
std::map<size_t, int> Counts(const ToolRequest& request, const ToolOptions& options = {}) {
  std::map<size_t, int> counts;
  Random random(7);
  for (int i = 0; i < 1000; ++i) ++counts[MakeToolCalls(request, options, &random).size()];
  return counts;
}

TEST(ToolCalls, AnswerAsTheChoiceSays) {
  EXPECT_EQ(Counts(ReadChoice(R"(,"tool_choice":"none")")), (std::map<size_t, int>{{0, 1000}}));
  EXPECT_EQ(Counts(Read("{}")), (std::map<size_t, int>{{0, 1000}}));
  EXPECT_NEAR(Counts(ReadChoice(""))[0], 500, 60);
  auto required = Counts(ReadChoice(R"(,"tool_choice":"required")"));
  EXPECT_EQ(required[0], 0);
  EXPECT_NEAR(required[1], 550, 60);
  EXPECT_GT(required[2], 0);
  required = Counts(ReadChoice(R"(,"tool_choice":"required")"), {.extra_call_percent = 0});
  EXPECT_EQ(required[1], 1000);
  required = Counts(ReadChoice(R"(,"tool_choice":"required")"), {.extra_call_percent = 100});
  EXPECT_EQ(required[16], 1000);
  EXPECT_EQ(Counts(ReadChoice(R"(,"tool_choice":"required","parallel_tool_calls":false)"))[1],
            1000);
  EXPECT_EQ(Counts(ReadChoice(R"(,"tool_choice":{"function":{"name":"b"}})"))[1], 1000);
}

TEST(ToolCalls, AreTheSameForTheSameSeed) {
  const ToolRequest request = ReadChoice(R"(,"tool_choice":{"function":{"name":"b"}})");
  Random first(3), again(3);
  const auto calls = MakeToolCalls(request, {}, &first);
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].name, "b");
  EXPECT_EQ(calls[0].arguments, "{}");
  EXPECT_THAT(calls[0].id, testing::MatchesRegex("chatcmpl-tool-[0-9a-f]{32}"));
  EXPECT_EQ(calls[0].id, MakeToolCalls(request, {}, &again)[0].id);
  EXPECT_NE(calls[0].id, MakeToolCalls(request, {}, &again)[0].id);
}

}  // namespace
}  // namespace headrace::sim
