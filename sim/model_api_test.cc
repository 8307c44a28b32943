#include "sim/model_api.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace headrace::sim {
namespace {

using Json = nlohmann::json;

TEST(ModelApi, ListsAliasesAndAdapters) {
  const Json list = Json::parse(ModelsBody({.model = "org/model",
                                            .aliases = {"one", "two"},
                                            .adapters = {{"sql", "/sql"}, {"bare", ""}},
                                            .max_model_len = 4096,
                                            .created_s = 5}));
  EXPECT_EQ(list.at("object"), "list");
  ASSERT_EQ(list.at("data").size(), 4u);
  EXPECT_EQ(list.at("data")[0],
            Json::parse(R"({"id":"one","object":"model","created":5,"owned_by":"vllm",
                            "root":"org/model","parent":null,"max_model_len":4096,
                            "permission":[]})"));
  EXPECT_EQ(list.at("data")[1].at("id"), "two");
  EXPECT_EQ(list.at("data")[2].at("root"), "/sql");
  EXPECT_EQ(list.at("data")[2].at("parent"), "one");
  EXPECT_EQ(list.at("data")[3].at("root"), "bare");
}

TEST(ModelApi, TellsItsVersion) {
  EXPECT_EQ(VersionBody("1.2"), R"({"version":"1.2"})");
}

TEST(ModelApi, ReadsWhatIsLoadedAndUnloaded) {
  const auto load = ParseLoraLoad(R"({"lora_name":"a","lora_path":"/p","load_inplace":true})");
  ASSERT_TRUE(load);
  EXPECT_EQ(load->adapter.name, "a");
  EXPECT_EQ(load->adapter.path, "/p");
  EXPECT_TRUE(load->in_place);
  EXPECT_FALSE(ParseLoraLoad(R"({"lora_name":"a"})")->in_place);
  EXPECT_EQ(ParseLoraUnload(R"({"lora_name":"a","lora_int_id":1})"), "a");
}

TEST(ModelApi, RefusesAdaptersWithoutAName) {
  for (const std::string_view body :
       {R"({})", R"({"lora_name":""})", R"({"lora_name":null})", R"({"lora_name":1})"}) {
    const auto load = ParseLoraLoad(body);
    ASSERT_FALSE(load) << body;
    EXPECT_EQ(load.error().status, 400);
    EXPECT_EQ(load.error().param, "lora_name");
    EXPECT_FALSE(ParseLoraUnload(body)) << body;
  }
  EXPECT_FALSE(ParseLoraLoad(R"({"lora_name":"a","lora_path":1})"));
  EXPECT_EQ(ParseLoraUnload("{").error().status, 400);
}

TEST(ModelApi, TellsWhichNameIsWrong) {
  EXPECT_EQ(LoraExists("x").status, 400);
  EXPECT_EQ(LoraUnknown("x").status, 404);
  EXPECT_EQ(LoraUnknown("x").message, "The lora adapter 'x' cannot be found");
  EXPECT_EQ(ModelUnknown("x").status, 404);
  EXPECT_EQ(ModelUnknown("x").message, "The model `x` does not exist.");
}

}  // namespace
}  // namespace headrace::sim
