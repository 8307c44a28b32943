#include "cli/hash_args.h"

#include <fmt/core.h>

#include <algorithm>

#include "cli/extra_json.h"

namespace headrace::cli {
namespace {

using wire::ExtraKeyForm;
using wire::HashAlgo;

constexpr Flag kFlags[] = {
    {"algo", "NAME",
     "sha256, sha256_cbor, xxhash, xxhash_cbor (vLLM), llmd-a, llmd-b, llmd-c,\n"
     "llmd-d or cbor-fnv, xxh64 (llm-d), blake3 (LMCache)"},
    {"tokens", "IDS", "1,2,3 or - for standard input; needed"},
    {"block-size", "N", "tokens a block (16)"},
    {"seed", "TEXT",
     "PYTHONHASHSEED of vLLM, hashSeed of llm-d; the xxhash forms need it\n"
     "(left out: vLLM's own for sha256*, \"\" for llm-d)"},
    {"model", "NAME", "part of the first parent of llmd-d and xxh64"},
    {"extra", "JSON",
     "a list with null or a list of keys for each full block, as they are:\n"
     "  [[[\"lora\",\"n\",\"path\"],[\"mm\",\"id\",0],[\"cache_salt\",\"s\"]], null]\n"
     "or an object, whose parts are placed on blocks:\n"
     "  {\"lora\":[name,path],\"mm\":[[id,offset,length]],\"salt\":s,\"embeds\":[hex]}"},
    {"parent", "HEX", "digest of the block before the first (left out: none)"},
    {"generation", "NAME",
     "vllm-0.32 (default), vllm-untagged: how an object's keys are written;\n"
     "llmd-a, llmd-b, llmd-c, llmd-d: the whole algorithm, --algo is not needed"},
};

struct Generation {
  std::string_view name;
  HashAlgo algo;      // of llm-d's
  ExtraKeyForm form;  // of vLLM's
  bool is_vllm;
};
constexpr Generation kGenerations[] = {
    {"vllm-0.32", HashAlgo::kSha256, ExtraKeyForm::kTagged, true},
    {"vllm-untagged", HashAlgo::kSha256, ExtraKeyForm::kUntagged, true},
    {"llmd-a", HashAlgo::kLlmdA, ExtraKeyForm::kTagged, false},
    {"llmd-b", HashAlgo::kLlmdB, ExtraKeyForm::kTagged, false},
    {"llmd-c", HashAlgo::kLlmdC, ExtraKeyForm::kTagged, false},
    {"llmd-d", HashAlgo::kLlmdD, ExtraKeyForm::kTagged, false},
};

bool IsVllm(HashAlgo algo) {
  return algo <= HashAlgo::kXxhashCbor;
}

std::optional<HashAlgo> AlgoOf(std::string_view name) {
  if (name == "cbor-fnv") return HashAlgo::kLlmdD;  // as llm-d's configuration calls it
  return wire::ParseHashAlgo(name);
}

// What --algo may say beside a generation of llm-d.
bool Agrees(HashAlgo algo, HashAlgo generation) {
  const bool is_sha = generation == HashAlgo::kLlmdA || generation == HashAlgo::kLlmdB;
  return algo == generation || (algo == HashAlgo::kSha256Cbor && is_sha) ||
         (algo == HashAlgo::kLlmdD && generation == HashAlgo::kLlmdC);
}

Result<const Generation*> FindGeneration(const std::string* name, std::string* message) {
  if (name == nullptr) return &kGenerations[0];
  for (const Generation& generation : kGenerations) {
    if (generation.name == *name) return &generation;
  }
  return WrongFlag("generation",
                   fmt::format("{} is none of vllm-0.32, vllm-untagged, llmd-a, llmd-b, llmd-c, "
                               "llmd-d",
                               Quoted(*name)),
                   message);
}

Status ReadAlgo(const CommandLine& line, const Generation& generation, HashRequest* request,
                std::string* message) {
  const std::string* name = line.Find("algo");
  if (name == nullptr && generation.is_vllm) {
    return WrongFlag("algo", fmt::format("is missing; one of {}", wire::HashAlgoNames()), message);
  }
  const auto algo = name == nullptr ? generation.algo : AlgoOf(*name);
  if (!algo) {
    return WrongFlag("algo", fmt::format("{} is none of {}", Quoted(*name), wire::HashAlgoNames()),
                     message);
  }
  request->options.algo = generation.is_vllm ? *algo : generation.algo;
  if (!generation.is_vllm && !Agrees(*algo, generation.algo)) {
    request->note = fmt::format("--algo {} has no part in --generation {}, a whole algorithm",
                                wire::HashAlgoName(*algo), generation.name);
  }
  if (generation.is_vllm && !IsVllm(*algo) && line.Find("generation") != nullptr) {
    return WrongFlag("generation",
                     fmt::format("{} goes with sha256, sha256_cbor, xxhash and xxhash_cbor, not "
                                 "with {}",
                                 generation.name, wire::HashAlgoName(*algo)),
                     message);
  }
  return {};
}

bool IsGap(char c) {
  return c == ',' || c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

Status ReadBlockSize(const CommandLine& line, uint32_t* block_tokens, std::string* message) {
  const std::string* text = line.Find("block-size");
  if (text == nullptr) return {};
  uint64_t number = 0;
  if (!ParseNumber(*text, wire::HasherOptions::kMaxBlockTokens, &number) || number == 0) {
    return WrongFlag("block-size", fmt::format("{} is not a number from 1 to 65536", Quoted(*text)),
                     message);
  }
  *block_tokens = static_cast<uint32_t>(number);
  return {};
}

bool UsesExtra(HashAlgo algo) {
  return IsVllm(algo) || algo == HashAlgo::kLlmdD || algo == HashAlgo::kXxh64;
}

Status CheckExtra(const HashRequest& request, size_t blocks, std::string* message) {
  if (request.extras.size() != blocks) {
    return WrongFlag("extra",
                     fmt::format("{} entries for {} full blocks; give one a block",
                                 request.extras.size(), blocks),
                     message);
  }
  const bool any = std::any_of(request.extras.begin(), request.extras.end(),
                               [](const auto& keys) { return !keys.empty(); });
  if (any && !UsesExtra(request.options.algo)) {
    return WrongFlag("extra",
                     fmt::format("{} hashes tokens only; leave it out",
                                 wire::HashAlgoName(request.options.algo)),
                     message);
  }
  return {};
}

Status ReadExtra(const CommandLine& line, ExtraKeyForm form, HashRequest* request,
                 std::string* message) {
  const std::string* text = line.Find("extra");
  if (text == nullptr) return {};
  std::string why;
  auto extra = ParseExtra(*text, &why);
  if (!extra) return WrongFlag("extra", why, message);
  const size_t blocks = request->tokens.size() / request->options.block_tokens;
  if (auto* placed = std::get_if<std::vector<wire::ExtraKeys>>(&*extra)) {
    request->extras = std::move(*placed);
    return CheckExtra(*request, blocks, message);
  }
  const auto& prompt = std::get<wire::PromptExtras>(*extra);
  request->extras = wire::PlaceExtraKeys(prompt, form, request->options.block_tokens, blocks);
  // llm-d hashes an adapter's name in the place of the model's.
  if (prompt.lora && !IsVllm(request->options.algo)) request->options.model = prompt.lora->name;
  return CheckExtra(*request, blocks, message);
}

Status MakeHasher(const CommandLine& line, HashRequest* request, std::string* message) {
  if (const std::string* seed = line.Find("seed")) request->options.seed = *seed;
  const auto algo = request->options.algo;
  if (!request->options.seed && (algo == HashAlgo::kXxhash || algo == HashAlgo::kXxhashCbor)) {
    return WrongFlag("seed",
                     fmt::format("{} needs one, the PYTHONHASHSEED of vLLM: without it every vLLM "
                                 "draws its own and no two agree",
                                 wire::HashAlgoName(algo)),
                     message);
  }
  if (request->options.seed && algo == HashAlgo::kBlake3) {
    return WrongFlag("seed", "blake3 has none; leave it out", message);
  }
  auto hasher = wire::BlockHasher::Create(request->options);
  if (!hasher) {
    *message = hasher.error().what;
    return Fail(hasher.error());
  }
  request->hasher = std::move(*hasher);
  return {};
}

Status ReadParent(const CommandLine& line, HashRequest* request, std::string* message) {
  const std::string* text = line.Find("parent");
  if (text == nullptr) return {};
  const size_t size = request->hasher->root().size;
  std::vector<uint8_t> bytes;
  if (!ParseHex(*text, &bytes) || bytes.size() != size) {
    return WrongFlag(
        "parent",
        fmt::format("{} is not a digest of {}, which has {} hexadecimal digits", Quoted(*text),
                    wire::HashAlgoName(request->options.algo), 2 * size),
        message);
  }
  request->parent = wire::BlockHash::Of(bytes);
  return {};
}

}  // namespace

std::span<const Flag> HashFlags() {
  return kFlags;
}

Status ReadTokenIds(const CommandLine& line, std::vector<uint32_t>* tokens, std::string* message) {
  const std::string* text = line.Find("tokens");
  if (text == nullptr) return WrongFlag("tokens", "is missing; write for example 1,2,3", message);
  std::string_view rest = *text;
  while (!rest.empty() && IsGap(rest.back())) rest.remove_suffix(1);
  while (!rest.empty() && IsGap(rest.front())) rest.remove_prefix(1);
  if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
  while (!rest.empty()) {
    const auto* const end = std::find_if(rest.begin(), rest.end(), IsGap);
    const std::string_view word = rest.substr(0, static_cast<size_t>(end - rest.begin()));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    if (word.empty()) continue;
    uint64_t number = 0;
    if (!ParseNumber(word, UINT32_MAX, &number)) {
      return WrongFlag(
          "tokens",
          fmt::format("{} is not a token id; write numbers of at most 4294967295 like 1,2,3",
                      Quoted(word)),
          message);
    }
    if (tokens->size() == kMaxHashTokens) {
      return WrongFlag("tokens", "more than 16777216 ids", message);
    }
    tokens->push_back(static_cast<uint32_t>(number));
  }
  return {};
}

Result<HashRequest> ReadHashRequest(const CommandLine& line, std::string* message) {
  HashRequest request;
  HR_TRY(const Generation* generation, FindGeneration(line.Find("generation"), message));
  HR_RETURN_IF_ERROR(ReadAlgo(line, *generation, &request, message));
  HR_RETURN_IF_ERROR(ReadBlockSize(line, &request.options.block_tokens, message));
  HR_RETURN_IF_ERROR(ReadTokenIds(line, &request.tokens, message));
  if (const std::string* model = line.Find("model")) request.options.model = *model;
  HR_RETURN_IF_ERROR(ReadExtra(line, generation->form, &request, message));
  HR_RETURN_IF_ERROR(MakeHasher(line, &request, message));
  HR_RETURN_IF_ERROR(ReadParent(line, &request, message));
  return request;
}

}  // namespace headrace::cli
