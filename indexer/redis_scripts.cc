#include "indexer/redis_scripts.h"

namespace headrace::indexer {
namespace {

// Microseconds that wrap: ages below an hour are told apart.
constexpr const char* kStamp = R"lua(
local time = redis.call('TIME')
local stamp = (tonumber(time[1]) * 1000000 + tonumber(time[2])) % 4294967296
)lua";

// An engine key names at most 64 request keys: the latest. What is there already is written again
// only when it has not been for `fresh` microseconds.
constexpr const char* kJoin = R"lua(
local function join(name, list, ttl, fresh)
  local old = redis.call('GET', name)
  local all = list
  if old then
    all = string.sub(old, 5)
    if all ~= list then
      for i = 1, #list, 8 do
        local one, found = string.sub(list, i, i + 7), false
        for j = 1, #all, 8 do
          if string.sub(all, j, j + 7) == one then found = true break end
        end
        if not found then all = all .. one end
      end
      if #all > 512 then all = string.sub(all, #all - 511) end
    end
    if #all + 4 == #old and string.sub(old, 5) == all
        and (stamp - struct.unpack('>I4', old)) % 4294967296 < fresh then
      return
    end
  end
  if ttl > 0 then
    redis.call('SET', name, struct.pack('>I4', stamp) .. all, 'PX', ttl)
  else
    redis.call('SET', name, struct.pack('>I4', stamp) .. all)
  end
end
)lua";

constexpr const char* kTake = R"lua(
local function take(name, field)
  local count = redis.call('HGET', name, field)
  if not count then return 0 end
  if tonumber(count) > 1 then
    redis.call('HINCRBY', name, field, -1)
  else
    redis.call('HDEL', name, field)
  end
  return 1
end
)lua";

constexpr const char* kApply = R"lua(
local pods, lives = KEYS[1], KEYS[2]
local prefix, pod, writer, seq, known = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ttl, fresh, ops = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local record = redis.call('HGET', pods, pod)
local life = record and string.sub(record, 1, 7)
if record and string.sub(record, 8, 15) == writer
    and tonumber(string.sub(record, 16)) >= tonumber(seq) then
  return {0, life, 0, 0}
end
if not record and known ~= '' then return {-1, '', 0, 0} end

local function next_life()
  local last = tonumber(redis.call('GET', lives) or 0)
  local now = math.max(last + 1, tonumber(time[1]) * 1000000 + tonumber(time[2]))
  redis.call('SET', lives, string.format('%d', now))
  return struct.pack('>I7', now)
end

local added, removed = 0, 0
local function put(name, field)
  redis.call('HINCRBY', name, field, 1)
  if ttl > 0 then redis.call('PEXPIRE', name, ttl) end
  added = added + 1
end

local function join_all(engine, num_engine, keys, num_keys)
  local most = math.max(num_engine, num_keys)
  for i = 0, num_engine - 1 do
    local first = math.ceil(i * most / num_engine)
    local past = math.ceil((i + 1) * most / num_engine)
    local list, last = {}, -1
    for k = first, past - 1 do
      local r = math.floor(k * num_keys / most)
      if r ~= last then list[#list + 1] = string.sub(ops, keys + 8 * r, keys + 8 * r + 7) end
      last = r
    end
    join(prefix .. 'e' .. string.sub(ops, engine + 8 * i, engine + 8 * i + 7),
         table.concat(list), ttl, fresh)
  end
end

local function each_known(name, value, action, field)
  local left = false
  for i = 5, #value, 8 do
    local key = prefix .. 'r' .. string.sub(value, i, i + 7)
    action(key, field)
    left = left or redis.call('EXISTS', key) == 1
  end
  if not left then redis.call('DEL', name) end
end

local function take_one(name, field) removed = removed + take(name, field) end

local at = 1
while at <= #ops do
  local kind, width, num_engine, num_keys
  kind, width, num_engine, num_keys, at = struct.unpack('>I1I2I4I4', ops, at)
  local engine = at + width
  local keys = engine + 8 * num_engine
  local past = keys + 8 * num_keys
  if kind == 6 then
    next_life()  -- first: should memory be short, the pod is still there
    redis.call('HDEL', pods, pod)
    life = false
  elseif kind == 5 or not life then
    life = next_life()
  end
  if kind < 5 then
    local field = life .. string.sub(ops, at, engine - 1)
    if kind == 1 then
      for i = keys, past - 1, 8 do put(prefix .. 'r' .. string.sub(ops, i, i + 7), field) end
      if num_engine > 0 then join_all(engine, num_engine, keys, num_keys) end
    elseif kind == 3 then
      for i = keys, past - 1, 8 do take_one(prefix .. 'r' .. string.sub(ops, i, i + 7), field) end
    else
      for i = engine, keys - 1, 8 do
        local name = prefix .. 'e' .. string.sub(ops, i, i + 7)
        local value = redis.call('GET', name)
        if value then each_known(name, value, kind == 2 and take_one or put, field) end
      end
    end
  end
  at = past
end
if #ops == 0 and not life then life = next_life() end
if life then redis.call('HSET', pods, pod, life .. writer .. seq) end
if ttl > 0 then
  redis.call('PEXPIRE', pods, ttl)
  redis.call('PEXPIRE', lives, ttl)
end
return {1, life or '', added, removed}
)lua";

}  // namespace

const net::RedisScript& ApplyScript() {
  static const net::RedisScript script(std::string(kStamp) + kJoin + kTake + kApply);
  return script;
}

const net::RedisScript& JoinScript() {
  static const net::RedisScript script(std::string(kStamp) + kJoin +
                                       "join(KEYS[1], ARGV[1], tonumber(ARGV[2]), "
                                       "tonumber(ARGV[3]))\nreturn 1\n");
  return script;
}

const net::RedisScript& TakeScript() {
  static const net::RedisScript script(std::string(kTake) + "return take(KEYS[1], ARGV[1])\n");
  return script;
}

const net::RedisScript& ForgetScript() {
  static const net::RedisScript script(std::string(kStamp) + R"lua(
local value = redis.call('GET', KEYS[1])
if value ~= ARGV[1] then return 0 end
local age = (stamp - struct.unpack('>I4', value)) % 4294967296
if age < tonumber(ARGV[2]) then return 0 end
return redis.call('DEL', KEYS[1])
)lua");
  return script;
}

const net::RedisScript& HoldersScript() {
  static const net::RedisScript script(R"lua(
local out, first, last = {false, false}, 1 + tonumber(ARGV[1]), nil
for i = 1, first - 1 do out[i] = redis.call('GET', KEYS[i]) end
for i = first, #KEYS do
  local fields = redis.call('HKEYS', KEYS[i])
  if #fields == 0 and ARGV[2] ~= '1' then break end
  local same = last ~= nil and #last == #fields
  if same then
    for j = 1, #fields do
      if fields[j] ~= last[j] then same = false break end
    end
  end
  if same then
    out[#out] = out[#out] + 1
  else
    out[#out + 1] = fields
    out[#out + 1] = 1
    last = fields
  end
end
return out
)lua");
  return script;
}

const net::RedisScript& RulesScript() {
  static const net::RedisScript script(R"lua(
local changed = redis.call('EXISTS', KEYS[2]) == 0
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    changed = redis.call('HDEL', KEYS[1], ARGV[i]) == 1 or changed
  elseif redis.call('HGET', KEYS[1], ARGV[i]) ~= ARGV[i + 1] then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    changed = true
  end
end
if changed then
  local now = redis.call('TIME')
  local last = tonumber(redis.call('GET', KEYS[2]) or '0')
  redis.call('SET', KEYS[2], string.format('%.0f', math.max(last + 1, now[1] * 1000000 + now[2])))
end
if ARGV[1] ~= '0' then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
end
return 1
)lua");
  return script;
}

const net::RedisScript& LlmdApplyScript() {
  static const net::RedisScript script(R"lua(
local added, removed, at = 0, 0, 1
local function each_known(name, action, field)
  local members, left = redis.call('ZRANGE', name, 0, -1), false
  for i = 1, #members do
    action(members[i], field)
    left = left or redis.call('EXISTS', members[i]) == 1
  end
  if not left then redis.call('DEL', name) end
end
local function put(name, field) added = added + redis.call('HSET', name, field, '') end
local function take(name, field) removed = removed + redis.call('HDEL', name, field) end
while at <= #ARGV do
  local kind, field = ARGV[at], ARGV[at + 1]
  local num_engine, num_keys = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local engine = at + 4
  local keys = engine + num_engine
  at = keys + num_keys
  if kind == '1' then
    for i = keys, at - 1 do put(ARGV[i], field) end
    local most = math.max(num_engine, num_keys)
    for k = 0, num_engine > 0 and most - 1 or -1 do
      redis.call('ZADD', 'engine:' .. ARGV[engine + math.floor(k * num_engine / most)], k,
                 ARGV[keys + math.floor(k * num_keys / most)])
    end
  elseif kind == '3' then
    for i = keys, at - 1 do take(ARGV[i], field) end
  else
    for i = engine, keys - 1 do
      each_known('engine:' .. ARGV[i], kind == '2' and take or put, field)
    end
  end
end
return {1, '', added, removed}
)lua");
  return script;
}

const net::RedisScript& LlmdClearScript() {
  static const net::RedisScript script(R"lua(
local removed = 0
for i = 1, #KEYS do
  local fields = redis.call('HKEYS', KEYS[i])
  for j = 1, #fields do
    if string.sub(fields[j], 1, #ARGV[1]) == ARGV[1] then
      removed = removed + redis.call('HDEL', KEYS[i], fields[j])
    end
  end
end
return removed
)lua");
  return script;
}

const net::RedisScript& LlmdPruneScript() {
  static const net::RedisScript script(R"lua(
local removed = 0
for i = 1, #KEYS do
  local members, left = redis.call('ZRANGE', KEYS[i], 0, -1), false
  for j = 1, #members do left = left or redis.call('EXISTS', members[j]) == 1 end
  if not left then removed = removed + redis.call('DEL', KEYS[i]) end
end
return removed
)lua");
  return script;
}

}  // namespace headrace::indexer
