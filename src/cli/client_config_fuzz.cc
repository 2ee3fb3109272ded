// Whatever file is taken, an entry put in can be found, is put in only once, and leaves no trace of itself when it is
// taken out; whatever is refused says where. The first byte chooses the format.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cli/client_config_edit.h"

namespace {

using llm::Result;
using namespace llm::cli;

void check_error(const llm::Error& error) {
  if (error.details.size() != 2 || error.message.empty()) std::abort();
}

void check(auto set, auto find, auto remove, std::string_view text) {
  const EntryPlace place{"servers", "ours"};
  const llm::json::object entry{{"command", "/x"}, {"args", {"stdio"}}, {"env", llm::json::object{{"A", "1"}}}};
  const Result<std::string> after = set(text, place, entry);
  if (!after) return check_error(after.error());
  const auto found = find(*after, place);
  if (!found || !*found || !covers(**found, entry)) std::abort();
  if (set(*after, place, entry) != *after) std::abort();
  const Result<std::string> back = remove(*after, place);
  if (!back) std::abort();
  const auto gone = find(*back, place);
  if (!gone || (*gone && text == *back)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 't') {
    check(set_toml_entry, find_toml_entry, remove_toml_entry, text);
  } else {
    check(set_json_entry, find_json_entry, remove_json_entry, text);
  }
  return 0;
}
