// Any bytes through the framer, the codec and a connection: nothing but well-formed single-line messages comes out.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/strings.h"
#include "json/json.h"
#include "mcp/connection.h"
#include "mcp/example_tools.h"
#include "mcp/line_reader.h"

namespace {

class Checker final : public llm::mcp::Outbox {
 public:
  void send(std::string_view message, const llm::mcp::Label&) override {
    if (message.contains('\n') || !llm::valid_utf8(message)) std::abort();
    const auto document = llm::json::parse(message);
    if (!document || !(document->is_object() || document->is_array())) std::abort();
  }
};

const llm::mcp::Server& server() {
  static llm::mcp::Server made(llm::mcp::example::server_info(), {.state_secret = "secret"});
  static const bool once = (llm::mcp::example::add_tools(made.tools()), llm::mcp::example::add_all(made), true);
  (void)once;
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  llm::Loop loop("fuzz");
  auto& context = loop.context();
  Checker outbox;
  llm::mcp::Connection connection(server(), loop, outbox);
  llm::mcp::LineReader reader(4096);
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto handle = [&](const llm::mcp::LineReader::Line& line) {
    if (line.too_long) {
      connection.on_overlong_line(reader.max_line_bytes());
    } else {
      connection.on_line(line.text);
    }
    context.poll();
    context.restart();
  };
  while (!input.empty()) {
    const auto piece = input.substr(0, 1000);
    input.remove_prefix(piece.size());
    piece.copy(reader.space(piece.size()).data(), piece.size());
    reader.filled(piece.size());
    while (const auto line = reader.next()) handle(*line);
  }
  if (const auto line = reader.last()) handle(*line);
  connection.close();
  context.poll();
  if (connection.in_flight() != 0) std::abort();
  return 0;
}
