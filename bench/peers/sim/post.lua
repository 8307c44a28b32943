-- For wrk: posts BODY to PATH_OF, and compares every answer with EXPECT, all but ids and times.
local path, body, expect = os.getenv("PATH_OF"), os.getenv("BODY"), os.getenv("EXPECT")
local threads = {}

-- Of each thread, read by done().
good, wrong, first_wrong = 0, 0, ""

wrk.method = "POST"
wrk.path = path
wrk.body = body
wrk.headers["Content-Type"] = "application/json"

function setup(thread)
  table.insert(threads, thread)
end

local function steady(text)
  text = string.gsub(text, '"id":"[^"]*"', '"id":""')
  return (string.gsub(text, '"created":%d+', '"created":0'))
end

function response(status, _, text)
  if status == 200 and steady(text) == expect then
    good = good + 1
  else
    wrong = wrong + 1
    if first_wrong == "" then first_wrong = status .. " " .. string.sub(text, 1, 300) end
  end
end

function done(summary, latency)
  local all_good, all_wrong = 0, 0
  for _, thread in ipairs(threads) do
    all_good = all_good + thread:get("good")
    all_wrong = all_wrong + thread:get("wrong")
    local text = thread:get("first_wrong")
    if text ~= "" then io.stderr:write("wrong answer: " .. text .. "\n") end
  end
  local errors = summary.errors
  io.write(string.format(
    'JSON {"good":%d,"wrong":%d,"seconds":%.3f,"p50_us":%d,"p99_us":%d,"broken":%d}\n',
    all_good, all_wrong, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.timeout))
end
