#include "sim/endpoints.h"

#include <utility>

#include "sim/chat_api.h"
#include "sim/chat_format.h"
#include "sim/completions_api.h"
#include "sim/completions_format.h"
#include "sim/generate_api.h"
#include "sim/generate_format.h"
#include "sim/messages_api.h"
#include "sim/messages_format.h"
#include "sim/responses_api.h"
#include "sim/responses_format.h"

namespace headrace::sim {
namespace {

ApiResult<GenerateBody> ReadChat(std::string_view body, const RequestDefaults& defaults) {
  auto chat = ParseChat(body, defaults);
  if (!chat) return tl::unexpected(std::move(chat.error()));
  return GenerateBody{std::move(chat->request), std::move(chat->tools), MakeChatFormat};
}

ApiResult<GenerateBody> ReadCompletion(std::string_view body, const RequestDefaults& defaults) {
  auto request = ParseCompletion(body, defaults);
  if (!request) return tl::unexpected(std::move(request.error()));
  return GenerateBody{std::move(*request), {}, MakeCompletionFormat};
}

ApiResult<GenerateBody> ReadResponses(std::string_view body, const RequestDefaults& defaults) {
  auto read = ParseResponses(body, defaults);
  if (!read) return tl::unexpected(std::move(read.error()));
  return GenerateBody{std::move(read->request), std::move(read->tools),
                      [echo = std::move(read->echo)](const Request&, const ReplyHead& head) {
                        return MakeResponsesFormat(head, echo);
                      }};
}

ApiResult<GenerateBody> ReadMessagesCall(std::string_view body, const RequestDefaults& defaults) {
  auto read = ParseMessages(body, defaults);
  if (!read) return tl::unexpected(std::move(read.error()));
  return GenerateBody{
      std::move(read->request), std::move(read->tools),
      [](const Request&, const ReplyHead& head) { return MakeMessagesFormat(head); }};
}

ApiResult<GenerateBody> ReadGenerate(std::string_view body, const RequestDefaults& defaults) {
  auto read = ParseGenerate(body, defaults);
  if (!read) return tl::unexpected(std::move(read.error()));
  return GenerateBody{std::move(read->request),
                      {},
                      [echo = std::move(read->echo)](const Request&, const ReplyHead& head) {
                        return MakeGenerateFormat(head, echo);
                      }};
}

constexpr GenerateEndpoint kEndpoints[] = {
    {"/v1/chat/completions", ReadChat, ErrorBody},
    {"/v1/completions", ReadCompletion, ErrorBody},
    {"/v1/responses", ReadResponses, ErrorBody},
    {"/v1/messages", ReadMessagesCall, MessagesErrorBody},
    {"/inference/v1/generate", ReadGenerate, ErrorBody},
};

}  // namespace

std::span<const GenerateEndpoint> GenerateEndpoints() {
  return kEndpoints;
}

}  // namespace headrace::sim
