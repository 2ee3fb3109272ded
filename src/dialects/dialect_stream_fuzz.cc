// The first byte chooses the kind of server, the lines behind it are its events: whatever they are, what comes out is
// the OpenAI API's: JSON objects and [DONE].
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "dialects/dialect.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace llm;
  if (size == 0) return 0;
  const auto& dialect = dialects::dialect_of(static_cast<dialects::ProviderKind>(data[0] % dialects::kProviderKinds));
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto translator = dialect.stream(dialects::Call::kChat);
  const bool strict = data[0] % dialects::kProviderKinds == static_cast<int>(dialects::ProviderKind::kAnthropic);
  while (translator && !rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(line.size() < rest.size() ? line.size() + 1 : line.size());
    std::vector<std::string> out;
    if (!translator->on_event("", line, out)) break;
    for (const std::string& payload : out) {
      if (!strict || payload == "[DONE]") continue;
      const auto parsed = json::parse(payload);
      if (!parsed || !parsed->is_object()) std::abort();
    }
  }
  // The same bytes as a whole answer and as an error body.
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  (void)dialect.answer(dialects::Call::kChat, body);
  (void)dialect.error(400, body);
  if (const auto parsed = json::parse(body); parsed && parsed->is_object()) {
    (void)dialect.request(dialects::Call::kChat, parsed->get_object(), {});
  }
  return 0;
}
