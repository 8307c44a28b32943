#include "engine/namespace_table.h"

#include "engine/test_world.h"

namespace headrace::engine {
namespace {

const wire::GroupSpec kFull = GroupOf(wire::GroupKind::kFull, 4096);

Errc Code(World* world, SessionId session, const wire::Register& spec) {
  return world->Join(session, spec).error.code;
}

TEST(NamespaceTable, BelongsToTheUserWhoRegisteredItFirst) {
  World world;
  const SessionId owner = world.Open("a", "", 1000), other = world.Open("b", "", 1001);
  const SessionId root = world.Open("c", "", 0);
  world.JoinPlain(owner);
  EXPECT_EQ(Code(&world, other, world.Spec("ns", {kFull})), Errc::kPermission);
  EXPECT_EQ(Code(&world, other, world.Spec("ns")), Errc::kPermission);
  EXPECT_EQ(Code(&world, root, world.Spec("ns", {kFull})), Errc::kOk);
}

TEST(NamespaceTable, RefusesRanksThatDisagreeAndNamesTheField) {
  World world;
  const SessionId session = world.Open();
  world.Joined(session, world.Spec("ns", {kFull}, 0, 2));
  const auto refused = [&](auto change, const std::string& field) {
    wire::Register spec = world.Spec("ns", {kFull}, 1, 2);
    change(&spec);
    const Reply reply = world.Join(session, spec);
    EXPECT_EQ(reply.error.code, Errc::kExists);
    EXPECT_NE(std::string(reply.error.what).find(field), std::string::npos) << reply.error.what;
  };
  refused([](auto* s) { s->world_size = 3; }, "world_size");
  refused([](auto* s) { s->block_tokens = 17; }, "block_tokens");
  refused([](auto* s) { s->groups.push_back(s->groups[0]); }, "groups");
  refused([](auto* s) { s->groups[0].kind = wire::GroupKind::kState; }, "groups.kind");
  refused([](auto* s) { s->rank = 0, s->groups[0].layout.segment_bytes = 8192; }, "segment_bytes");
  wire::Register other = world.Spec("ns", {kFull}, 1, 2);
  other.groups[0].layout.layer_offsets = {0, 1u << 30};  // a rank with more layers
  EXPECT_EQ(Code(&world, session, other), Errc::kOk);
  world.engine().CheckInvariants();
}

TEST(NamespaceTable, GivesBackTheBuffersOfARefusedRegistration) {
  World world;
  const SessionId session = world.Open();
  EXPECT_EQ(Code(&world, session, world.Spec("", {kFull})), Errc::kInvalid);
  EXPECT_EQ(world.dropped().size(), 1u);
  EXPECT_EQ(world.stats().registrations, 0u);
}

TEST(NamespaceTable, TakesSchedulersBeforeAndAfterRanks) {
  World world;
  const SessionId session = world.Open();
  const uint32_t before = world.Joined(session, world.Spec("ns"));
  const uint32_t rank = world.JoinPlain(session);
  const uint32_t after = world.Joined(session, world.Spec("ns"));
  const Chain chain(1, 5);
  world.SaveAll(session, rank, chain);
  EXPECT_EQ(world.Hit(session, before, chain.list()), 5u);
  EXPECT_EQ(world.Hit(session, after, chain.list()), 5u);
  wire::Register other = world.Spec("ns");
  other.block_tokens = 32;
  EXPECT_EQ(Code(&world, session, other), Errc::kExists);
}

TEST(NamespaceTable, RefusesABlockThatNoPageHolds) {
  World world;
  const SessionId session = world.Open();
  const Reply reply =
      world.Join(session, world.Spec("ns", {GroupOf(wire::GroupKind::kFull, 65537)}));
  EXPECT_EQ(reply.error.code, Errc::kInvalid);
  EXPECT_NE(std::string(reply.error.what).find("--page-size"), std::string::npos);
}

TEST(NamespaceTable, RefusesSpecsThatMakeNoSense) {
  World world;
  const SessionId session = world.Open();
  const auto refused = [&](auto change) {
    wire::Register spec = world.Spec("ns", {kFull});
    change(&spec);
    return Code(&world, session, spec);
  };
  EXPECT_EQ(refused([](auto* s) { s->rank = 1; }), Errc::kInvalid);
  EXPECT_EQ(refused([](auto* s) { s->world_size = 0; }), Errc::kInvalid);
  EXPECT_EQ(refused([](auto* s) { s->world_size = 257; }), Errc::kInvalid);
  EXPECT_EQ(refused([](auto* s) { s->groups.resize(17, kFull); }), Errc::kInvalid);
  EXPECT_EQ(refused([](auto* s) { s->groups[0].kind = wire::GroupKind::kWindow; }), Errc::kInvalid);
  EXPECT_EQ(refused([](auto* s) { s->groups[0].kind = static_cast<wire::GroupKind>(9); }),
            Errc::kInvalid);
  EXPECT_EQ(refused([](auto* s) { s->groups[0].layout.layer_offsets.clear(); }), Errc::kInvalid);
  EXPECT_EQ(refused([](auto* s) { s->groups[0].layout.parts = 3; }), Errc::kInvalid);
}

TEST(NamespaceTable, MakesRoomFromNamesThatNobodyUses) {
  WorldOptions options;
  options.limits.max_namespaces = 2;
  World world(options);
  const SessionId session = world.Open();
  const uint32_t kept = world.JoinPlain(session, "kept");
  world.SaveAll(session, kept, Chain(1, 2));
  world.Apply(Unregister{session, 9000, kept});
  const uint32_t idle = world.JoinPlain(session, "idle");
  EXPECT_EQ(Code(&world, session, world.Spec("third", {kFull})), Errc::kLimit);
  EXPECT_EQ(world.stats().limit_namespaces, 1u);
  world.Apply(Unregister{session, 9001, idle});
  EXPECT_EQ(Code(&world, session, world.Spec("third", {kFull})), Errc::kOk);
  const uint32_t again = world.JoinPlain(session, "kept");
  EXPECT_EQ(world.Hit(session, again, Chain(1, 2).list()), 2u);
}

TEST(NamespaceTable, WritesItsRecordsIntoThePool) {
  World world;
  const SessionId session = world.Open("a", "", 77);
  const uint32_t rank = world.JoinPlain(session, "model/bf16");
  const wire::NamespaceRecord& record = world.meta().namespaces()[0];
  EXPECT_EQ(record.used, 1u);
  EXPECT_EQ(record.owner_uid, 77u);
  EXPECT_EQ(std::string(record.name, record.name_bytes), "model/bf16");
  EXPECT_EQ(record.generation, 1u);
  world.ClearAll(session, rank);
  EXPECT_EQ(record.generation, 2u);
}

TEST(NamespaceTable, LimitsRegistrations) {
  WorldOptions options;
  options.limits.max_registrations = 1;
  World world(options);
  const SessionId session = world.Open();
  world.JoinPlain(session);
  EXPECT_EQ(Code(&world, session, world.Spec("ns", {kFull})), Errc::kLimit);
  EXPECT_EQ(world.stats().limit_registrations, 1u);
}

}  // namespace
}  // namespace headrace::engine
