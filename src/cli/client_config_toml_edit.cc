#include <algorithm>
#include <fmt/format.h>
#include <span>

#include "cli/client_config_edit.h"
#include "cli/client_config_jsonc.h"
#include "cli/client_config_toml.h"

namespace llm::cli {
namespace {

bool begins_with(const TomlKey& path, std::span<const std::string> prefix) {
  return path.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), path.begin());
}

struct Found {
  std::vector<TomlTable> tables;
  const TomlTable* table = nullptr;     // [container.name]
  std::vector<const TomlTable*> below;  // its sub-tables
};

// An entry can be written in ways that this file does not edit: inline in its container, with dotted keys, as an array.
Result<void> find_tables(std::string_view text, const EntryPlace& place, Found& out) {
  auto tables = parse_toml_tables(text);
  if (!tables) return fail(std::move(tables.error()));
  out.tables = std::move(*tables);
  const TomlKey wanted{std::string(place.container), std::string(place.name)};
  for (const TomlTable& table : out.tables) {
    if (begins_with(table.path, wanted)) {
      if (table.is_array_item || (table.path.size() == 2 && out.table)) {
        return fail(error_at(ErrorCode::kConflict, text, table.begin,
                             fmt::format("a second or unusual [{}.{}]", place.container, place.name)));
      }
      (table.path.size() == 2 ? out.table : out.below.emplace_back()) = &table;
      continue;
    }
    for (const TomlAssignment& assignment : table.assignments) {
      TomlKey full = table.path;
      full.insert(full.end(), assignment.key.begin(), assignment.key.end());
      const bool is_container = full.size() == 1 && full.front() == place.container;
      if (!is_container && !begins_with(full, wanted)) continue;
      return fail(error_at(ErrorCode::kConflict, text, assignment.begin,
                           fmt::format("\"{}\" is written here in a form that only you can change by hand; a table "
                                       "[{}.{}] would do",
                                       fmt::join(full, "."), place.container, toml_key(place.name))));
    }
  }
  return {};
}

const TomlAssignment* find_key(const TomlTable& table, std::string_view name) {
  const auto found = std::ranges::find_if(table.assignments, [&](const TomlAssignment& assignment) {
    return assignment.key.size() == 1 && assignment.key.front() == name;
  });
  return found == table.assignments.end() ? nullptr : &*found;
}

std::string_view eol_of(std::string_view text) {
  const auto feed = text.find('\n');
  return feed != std::string_view::npos && feed > 0 && text[feed - 1] == '\r' ? "\r\n" : "\n";
}

std::string written_table(const EntryPlace& place, const json::object& entry, std::string_view eol) {
  std::string out = fmt::format("[{}.{}]", toml_key(place.container), toml_key(place.name));
  for (const auto& [key, value] : entry) out += fmt::format("{}{} = {}", eol, toml_key(key), toml_value(value));
  return out;
}

// A new table at the end, an empty line before it. A file that does not end its last line is left so.
std::string with_table(std::string_view text, const EntryPlace& place, const json::object& entry) {
  const std::string_view eol = eol_of(text);
  const bool ends_line = text.empty() || text.ends_with('\n') || text == kByteOrderMark;
  std::string out(text);
  if (!text.empty() && text != kByteOrderMark) out += ends_line ? std::string(eol) : fmt::format("{}{}", eol, eol);
  out += written_table(place, entry, eol);
  if (ends_line) out += eol;
  return out;
}

std::size_t line_end(std::string_view text, std::size_t at) {
  return std::min(text.find('\n', at), text.size());
}

// The text without [begin, its line's end], and without the empty line before it.
std::string without_lines(std::string_view text, std::size_t begin, std::size_t end) {
  std::size_t last = line_end(text, end);
  const bool is_last = text.find_first_not_of(" \t\r\n", last) == std::string_view::npos;
  if (last < text.size()) ++last;
  const std::string_view eol = eol_of(text);
  const std::string_view before = text.substr(0, begin);
  const std::string empty_line = fmt::format("{}{}", eol, eol);
  if (before.ends_with(empty_line) || before == eol) begin -= eol.size();
  // What had no line end before it was appended to gets none.
  if (is_last && last == text.size() && !text.ends_with('\n') && text.substr(0, begin).ends_with(eol)) {
    begin -= eol.size();
  }
  return std::string(text.substr(0, begin)) + std::string(text.substr(last));
}

std::string replaced(std::string_view text, std::size_t begin, std::size_t end, std::string_view by) {
  return fmt::format("{}{}{}", text.substr(0, begin), by, text.substr(end));
}

json::object merged(json::object old, const json::object& wanted) {
  for (const auto& [key, value] : wanted) old[key] = value;
  return old;
}

// `env.NAME = …` is as good as an inline table, but cannot stand beside one.
Result<void> check_dotted_keys(std::string_view text, const TomlTable& table, const json::object& entry) {
  for (const TomlAssignment& assignment : table.assignments) {
    if (assignment.key.size() < 2 || !entry.contains(assignment.key.front())) continue;
    return fail(error_at(ErrorCode::kConflict, text, assignment.begin,
                         fmt::format("\"{}\" is written here in a form that only you can change by hand",
                                     fmt::join(assignment.key, "."))));
  }
  return {};
}

// One change towards `entry`; the text itself when there is none left.
std::string one_change(std::string_view text, const Found& found, const TomlTable& table, const json::object& entry) {
  // A line of its own behind the table's last one.
  const auto inserted = [&](const TomlTable& into, std::string_view key, const json::value& value) {
    const std::size_t end = line_end(text, into.end);
    const std::string line = fmt::format("{} = {}", toml_key(key), toml_value(value));
    if (end == text.size()) return replaced(text, end, end, std::string(eol_of(text)) + line);
    return replaced(text, end + 1, end + 1, line + std::string(eol_of(text)));
  };
  for (const auto& [key, value] : entry) {
    const TomlAssignment* old = find_key(table, key);
    const auto below = std::ranges::find_if(found.below, [&](const TomlTable* one) {
      return one->path.size() == 3 && one->path.back() == std::string_view(key);
    });
    if (!old && below != found.below.end() && value.is_object()) {
      for (const auto& [name, held] : value.as_object()) {
        const TomlAssignment* inner = find_key(**below, name);
        if (!inner) return inserted(**below, name, held);
        if (inner->value == held) continue;
        return replaced(text, inner->value_begin, inner->value_end, toml_value(held));
      }
      continue;
    }
    if (!old) return inserted(table, key, value);
    json::value wanted = value;
    if (value.is_object() && old->value.is_object()) wanted = merged(old->value.as_object(), value.as_object());
    if (old->value == wanted) continue;
    return replaced(text, old->value_begin, old->value_end, toml_value(wanted));
  }
  return std::string(text);
}

}  // namespace

Result<std::string> set_toml_entry(std::string_view text, const EntryPlace& place, const json::object& entry) {
  constexpr int kMostChanges = 1000;  // far more than an entry has values
  std::string out(text);
  for (int change = 0; change < kMostChanges; ++change) {
    Found found;
    if (auto done = find_tables(out, place, found); !done) return fail(std::move(done.error()));
    if (!found.table) return with_table(out, place, entry);
    if (auto done = check_dotted_keys(out, *found.table, entry); !done) return fail(std::move(done.error()));
    std::string next = one_change(out, found, *found.table, entry);
    if (next == out) return out;
    out = std::move(next);
  }
  return fail(ErrorCode::kInternal, "the entry does not read back as it was written");
}

Result<std::string> remove_toml_entry(std::string_view text, const EntryPlace& place) {
  std::string out(text);
  for (;;) {
    Found found;
    if (auto done = find_tables(out, place, found); !done) return fail(std::move(done.error()));
    const TomlTable* next = found.table ? found.table : found.below.empty() ? nullptr : found.below.front();
    if (!next) return out;
    out = without_lines(out, next->begin, next->end);
  }
}

Result<std::optional<json::object>> find_toml_entry(std::string_view text, const EntryPlace& place) {
  Found found;
  if (auto done = find_tables(text, place, found); !done) return fail(std::move(done.error()));
  if (!found.table) return std::nullopt;
  json::object out;
  for (const TomlAssignment& assignment : found.table->assignments) {
    if (assignment.key.size() == 1) out[assignment.key.front()] = assignment.value;
  }
  for (const TomlTable* below : found.below) {
    if (below->path.size() != 3) continue;
    json::object inner;
    for (const TomlAssignment& assignment : below->assignments) {
      if (assignment.key.size() == 1) inner[assignment.key.front()] = assignment.value;
    }
    out[below->path.back()] = std::move(inner);
  }
  return out;
}

std::string toml_snippet(const EntryPlace& place, const json::object& entry) {
  return written_table(place, entry, "\n") + "\n";
}

}  // namespace llm::cli
