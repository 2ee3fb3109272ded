#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "json/json.h"

// One entry of a client's configuration, put in and taken out without touching anything else: comments, order, spacing,
// line ends, byte order mark and trailing commas stay as they are, byte for byte. Texts in, texts out. Errors are
// kMalformed or kConflict with "line" and "column" as details, and the text is then of no use to the client either.
namespace llm::cli {

// Where an entry stands: the member `name` of the object `container` at the top, or the TOML table [container.name].
struct EntryPlace {
  std::string_view container;
  std::string_view name;
};

// The text with the entry in it. Members of an entry that is there already are changed where they differ, and those
// that `entry` does not have stay, since people add some by hand. The same text: there is nothing to do.
Result<std::string> set_json_entry(std::string_view text, const EntryPlace& place, const json::object& entry);
Result<std::string> set_toml_entry(std::string_view text, const EntryPlace& place, const json::object& entry);

// The text without the entry; the same text if there is none. What `set_…` had to add around it (the container, an
// empty line) goes with it where the text is still just as `set_…` leaves it.
Result<std::string> remove_json_entry(std::string_view text, const EntryPlace& place);
Result<std::string> remove_toml_entry(std::string_view text, const EntryPlace& place);

// The entry itself; nullopt if there is none. Of TOML only texts, lists and tables; other values are null.
Result<std::optional<json::object>> find_json_entry(std::string_view text, const EntryPlace& place);
Result<std::optional<json::object>> find_toml_entry(std::string_view text, const EntryPlace& place);

// Does `found` say all that `wanted` says? It may say more.
bool covers(const json::object& found, const json::object& wanted);

// How an entry is written on its own, for people who paste it.
std::string json_snippet(const EntryPlace& place, const json::object& entry);
std::string toml_snippet(const EntryPlace& place, const json::object& entry);

}  // namespace llm::cli
