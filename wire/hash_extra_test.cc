#include <gtest/gtest.h>

#include "wire/hash.h"

namespace headrace::wire {

// For gtest's messages and EXPECT_EQ.
static bool operator==(const ExtraKey& a, const ExtraKey& b) {
  return a.atoms == b.atoms && a.bare == b.bare;
}

namespace {

KeyAtom Text(std::string_view text) {
  return std::string(text);
}
KeyAtom Number(int64_t value) {
  return value;
}
ExtraKey Image(const char* id, int64_t offset) {
  return {{Text("mm"), Text(id), Number(offset)}};
}

using Placed = std::vector<ExtraKeys>;

TEST(PlaceExtraKeys, PutsLoraOnEveryBlock) {
  const PromptExtras extras{.lora = PromptExtras::Lora{"name", "/path"}};
  const ExtraKey tagged{{Text("lora"), Text("name"), Text("/path")}};
  EXPECT_EQ(PlaceExtraKeys(extras, ExtraKeyForm::kTagged, 4, 2), (Placed{{tagged}, {tagged}}));
  const ExtraKey untagged{{Text("name")}, true};
  EXPECT_EQ(PlaceExtraKeys(extras, ExtraKeyForm::kUntagged, 4, 2),
            (Placed{{untagged}, {untagged}}));
}

TEST(PlaceExtraKeys, PutsTheSaltOnTheFirstBlock) {
  const PromptExtras extras{.salt = "s"};
  EXPECT_EQ(PlaceExtraKeys(extras, ExtraKeyForm::kTagged, 4, 2),
            (Placed{{{{Text("cache_salt"), Text("s")}}}, {}}));
  EXPECT_EQ(PlaceExtraKeys(extras, ExtraKeyForm::kUntagged, 4, 2),
            (Placed{{{{Text("s")}, true}}, {}}));
}

TEST(PlaceExtraKeys, PutsAnImageOnTheBlocksItOverlaps) {
  const PromptExtras extras{.mm = {{"a", 5, 4}}};
  EXPECT_EQ(PlaceExtraKeys(extras, ExtraKeyForm::kTagged, 4, 4),
            (Placed{{}, {Image("a", 1)}, {Image("a", -3)}, {}}));
  EXPECT_EQ(PlaceExtraKeys(extras, ExtraKeyForm::kUntagged, 4, 2),
            (Placed{{}, {{{Text("a"), Number(1)}}}}));
}

TEST(PlaceExtraKeys, EndsAnImageWithItsLastToken) {
  const PromptExtras extras{.mm = {{"a", 4, 4}}};
  EXPECT_EQ(PlaceExtraKeys(extras, ExtraKeyForm::kTagged, 4, 3), (Placed{{}, {Image("a", 0)}, {}}));
}

TEST(PlaceExtraKeys, PutsImagesInTheOrderOfTheirTokens) {
  const PromptExtras extras{.mm = {{"b", 2, 4}, {"a", 0, 1}}};
  EXPECT_EQ(PlaceExtraKeys(extras, ExtraKeyForm::kTagged, 4, 2),
            (Placed{{Image("a", 0), Image("b", 2)}, {Image("b", -2)}}));
}

TEST(PlaceExtraKeys, TakesNoImageBehindOneThatReachesBeyondTheBlock) {
  const PromptExtras extras{.mm = {{"a", 0, 6}, {"b", 2, 6}}};
  EXPECT_EQ(PlaceExtraKeys(extras, ExtraKeyForm::kTagged, 4, 2),
            (Placed{{Image("a", 0)}, {Image("a", -4), Image("b", -2)}}));
}

TEST(PlaceExtraKeys, PassesAnImageThatEndsBeforeTheLastOne) {
  const PromptExtras extras{.mm = {{"a", 0, 8}, {"b", 1, 2}}};
  EXPECT_EQ(PlaceExtraKeys(extras, ExtraKeyForm::kTagged, 4, 2), (Placed{{Image("a", 0)}, {}}));
}

TEST(PlaceExtraKeys, OrdersLoraImagesSaltAndEmbeddings) {
  const std::vector<uint8_t> digest(32, 7);
  const PromptExtras extras{
      .lora = PromptExtras::Lora{"n", "p"}, .mm = {{"a", 0, 2}}, .salt = "s", .embeds = {digest}};
  const auto placed = PlaceExtraKeys(extras, ExtraKeyForm::kTagged, 4, 2);
  EXPECT_EQ(placed[0], (ExtraKeys{{{Text("lora"), Text("n"), Text("p")}},
                                  Image("a", 0),
                                  {{Text("cache_salt"), Text("s")}},
                                  {{Text("prompt_embeds"), KeyAtom(digest)}}}));
  EXPECT_EQ(placed[1], (ExtraKeys{{{Text("lora"), Text("n"), Text("p")}}}));
}

TEST(PlaceExtraKeys, LeavesAPlainPromptAlone) {
  EXPECT_EQ(PlaceExtraKeys({}, ExtraKeyForm::kTagged, 4, 3), (Placed{{}, {}, {}}));
}

}  // namespace
}  // namespace headrace::wire
