#include "cli/client_config_edit.h"

#include <algorithm>
#include <fmt/format.h>
#include <ranges>

#include "cli/client_config_jsonc.h"

namespace llm::cli {
namespace {

struct Layout {
  std::string eol = "\n";
  std::string unit = "  ";  // one level of indentation
};

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

std::size_t line_begin(std::string_view text, std::size_t offset) {
  const auto feed = text.substr(0, offset).rfind('\n');
  return feed == std::string_view::npos ? (text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0) : feed + 1;
}

// The space that the line of `offset` begins with.
std::string indent_at(std::string_view text, std::size_t offset) {
  const std::string_view line = text.substr(line_begin(text, offset));
  return std::string(line.substr(0, std::min(line.find_first_not_of(" \t"), line.size())));
}

bool begins_line(std::string_view text, std::size_t offset) {
  const std::size_t begin = line_begin(text, offset);
  return begin > 0 && is_blank(text.substr(begin, offset - begin));
}

// As the file does it; two spaces and LF where it does not show.
Layout layout_of(std::string_view text, const JsoncDocument& document) {
  Layout layout;
  const auto feed = text.find('\n');
  if (feed != std::string_view::npos && feed > 0 && text[feed - 1] == '\r') layout.eol = "\r\n";
  if (document.root && !document.root->members.empty()) {
    const std::size_t key = document.root->members.front().key;
    const std::string outer = indent_at(text, document.root->begin);
    const std::string inner = indent_at(text, key);
    if (begins_line(text, key) && inner.size() > outer.size()) layout.unit = inner.substr(outer.size());
  }
  return layout;
}

std::string quoted(std::string_view text) {
  std::string out;
  json::append_quoted(out, text);
  return out;
}

// Objects one member a line; lists of plain values in one line, as people write arguments.
std::string written(const json::value& value, const std::string& indent, const Layout& layout) {
  const std::string inner = indent + layout.unit;
  std::string out;
  if (const auto* object = value.if_object(); object && !object->empty()) {
    for (const auto& [key, held] : *object) {
      out += fmt::format("{}{}{}{}: {}", out.empty() ? "{" : ",", layout.eol, inner, quoted(key),
                         written(held, inner, layout));
    }
    return out + layout.eol + indent + "}";
  }
  if (const auto* array = value.if_array()) {
    for (const json::value& item : *array) {
      out += (out.empty() ? "" : ", ") + written(item, inner, layout);
    }
    return "[" + out + "]";
  }
  return json::write(value);
}

struct Change {
  std::size_t begin;
  std::size_t end;
  std::string text;
};

std::string changed(std::string_view text, std::vector<Change> changes) {
  std::ranges::sort(changes, std::greater{}, &Change::begin);
  std::string out(text);
  for (const Change& change : changes) out.replace(change.begin, change.end - change.begin, change.text);
  return out;
}

// Behind the comments that follow `offset` in its own line; `offset` itself if there are none.
std::size_t after_comments(std::string_view text, const JsoncDocument& document, std::size_t offset) {
  for (const JsoncNoise& noise : document.noise) {
    if (!noise.is_comment || noise.begin < offset) continue;
    const std::string_view between = text.substr(offset, noise.end - offset);
    if (between.contains('\n') || !is_blank(text.substr(offset, noise.begin - offset))) break;
    offset = noise.end;
  }
  return offset;
}

// Where the last comment before `offset` and behind `least` ends; `least` if there is none.
std::size_t before_comments(const JsoncDocument& document, std::size_t least, std::size_t offset) {
  for (const JsoncNoise& noise : document.noise) {
    if (noise.is_comment && noise.begin >= least && noise.end <= offset) least = noise.end;
  }
  return least;
}

std::string with_first_member(std::string_view text, const JsoncDocument& document, const JsoncValue& object,
                              std::string_view name, const json::value& value) {
  const Layout layout = layout_of(text, document);
  const std::string outer = indent_at(text, object.begin);
  const std::string inner = outer + layout.unit;
  const std::string member = layout.eol + inner + quoted(name) + ": " + written(value, inner, layout);
  const std::size_t at = before_comments(document, object.begin + 1, object.end);
  const bool closes_line = text.substr(at, object.end - at).contains('\n');
  const bool bare = at == object.begin + 1;
  if (bare) return changed(text, {{at, object.end - 1, member + layout.eol + outer}});
  return changed(text, {{at, at, closes_line ? member : member + layout.eol + outer}});
}

std::string with_member(std::string_view text, const JsoncDocument& document, const JsoncValue& object,
                        std::string_view name, const json::value& value) {
  if (object.members.empty()) return with_first_member(text, document, object, name, value);
  const JsoncMember& last = object.members.back();
  const bool trailing = last.comma.has_value();
  const std::size_t end = trailing ? *last.comma + 1 : last.value.end;
  if (!begins_line(text, last.key)) {
    const std::string member = " " + quoted(name) + ": " + json::write(value);
    return changed(text, {{end, end, trailing ? member + "," : "," + member}});
  }
  const Layout layout = layout_of(text, document);
  const std::string indent = indent_at(text, last.key);
  const std::size_t at = after_comments(text, document, end);
  std::string member = layout.eol + indent + quoted(name) + ": " + written(value, indent, layout);
  if (trailing) return changed(text, {{at, at, member + ","}});
  if (at == end) return changed(text, {{at, at, "," + member}});
  return changed(text, {{end, end, ","}, {at, at, std::move(member)}});
}

std::string without_member(std::string_view text, const JsoncDocument& document, const JsoncValue& object,
                           const JsoncMember& member) {
  const auto index = static_cast<std::size_t>(&member - object.members.data());
  const JsoncMember* before = index > 0 ? &object.members[index - 1] : nullptr;
  const std::size_t least = before ? *before->comma + 1 : object.begin + 1;
  std::size_t begin = before_comments(document, least, member.key);
  std::size_t end = member.comma ? *member.comma + 1 : member.value.end;
  if (object.members.size() == 1 && is_blank(text.substr(object.begin + 1, begin - object.begin - 1)) &&
      is_blank(text.substr(end, object.end - 1 - end))) {
    return changed(text, {{object.begin + 1, object.end - 1, ""}});
  }
  const std::string_view behind = text.substr(end, text.find('\n', end) - end);
  const bool comment_before = begin != least;
  const bool comment_behind = behind.substr(std::min(behind.find_first_not_of(" \t"), behind.size())).starts_with('/');
  if ((comment_behind && begins_line(text, member.key)) || (comment_before && !is_blank(behind))) {
    // Comments keep their lines: none gets behind another member, and nothing behind a comment.
    begin = member.key;
    while (text[end] == ' ') ++end;
  }
  std::vector<Change> changes{{begin, end, ""}};
  if (before && !member.comma) changes.push_back({*before->comma, *before->comma + 1, ""});
  return changed(text, std::move(changes));
}

Result<json::object> data_of(std::string_view text, const JsoncDocument& document, const JsoncMember& member) {
  auto data = jsonc_data(text, document, member.value);
  if (!data) return fail(error_at(ErrorCode::kMalformed, text, member.value.begin, data.error().message));
  return data->is_object() ? std::move(data->as_object()) : json::object{};
}

// Puts the members of `entry` into the object at `path`, one change after the other: each moves what is behind it.
Result<std::string> set_members(std::string text, std::vector<std::string> path, const json::object& entry) {
  for (const auto& [name, wanted] : entry) {
    auto document = parse_jsonc(text);
    if (!document) return fail(std::move(document.error()));
    const JsoncValue* object = &*document->root;
    for (const std::string& step : path) object = &object->member(step)->value;
    const JsoncMember* member = object->member(name);
    if (!member) {
      text = with_member(text, *document, *object, name, wanted);
      continue;
    }
    auto found = jsonc_data(text, *document, member->value);
    if (found && *found == wanted) continue;
    if (wanted.is_object() && member->value.kind == JsoncValue::Kind::kObject) {
      std::vector<std::string> inner = path;
      inner.emplace_back(name);
      auto done = set_members(std::move(text), std::move(inner), wanted.as_object());
      if (!done) return done;
      text = std::move(*done);
      continue;
    }
    const std::string value = written(wanted, indent_at(text, member->key), layout_of(text, *document));
    text = changed(text, {{member->value.begin, member->value.end, value}});
  }
  return text;
}

struct Found {
  JsoncDocument document;
  const JsoncValue* root = nullptr;  // never null where find_places succeeds and the file is not empty
  const JsoncMember* container = nullptr;
  const JsoncMember* entry = nullptr;
};

Result<void> find_places(std::string_view text, const EntryPlace& place, Found& out) {
  auto document = parse_jsonc(text);
  if (!document) return fail(std::move(document.error()));
  out.document = std::move(*document);
  if (!out.document.root) return {};
  out.root = &*out.document.root;
  if (out.root->kind != JsoncValue::Kind::kObject) {
    return fail(error_at(ErrorCode::kConflict, text, out.root->begin, "the file does not hold a JSON object"));
  }
  out.container = out.root->member(place.container);
  if (!out.container) return {};
  if (out.container->value.kind != JsoncValue::Kind::kObject) {
    return fail(error_at(ErrorCode::kConflict, text, out.container->value.begin,
                         fmt::format("\"{}\" is no object", place.container)));
  }
  out.entry = out.container->value.member(place.name);
  return {};
}

json::object wrapped(const EntryPlace& place, const json::object& entry) {
  return {{place.container, json::object{{place.name, entry}}}};
}

}  // namespace

Result<std::string> set_json_entry(std::string_view text, const EntryPlace& place, const json::object& entry) {
  Found found;
  if (auto done = find_places(text, place, found); !done) return fail(std::move(done.error()));
  if (!found.root) {
    Layout layout;
    if (text.contains("\r\n")) layout.eol = "\r\n";
    std::string out(text);
    if (!out.empty() && !out.ends_with('\n') && out != kByteOrderMark) out += layout.eol;
    return out + written(wrapped(place, entry), "", layout) + layout.eol;
  }
  if (!found.container) {
    return with_member(text, found.document, *found.root, place.container, wrapped(place, entry).begin()->value());
  }
  if (!found.entry) return with_member(text, found.document, found.container->value, place.name, entry);
  if (found.entry->value.kind != JsoncValue::Kind::kObject) {
    const JsoncValue& old = found.entry->value;
    const std::string value = written(entry, indent_at(text, found.entry->key), layout_of(text, found.document));
    return changed(text, {{old.begin, old.end, value}});
  }
  return set_members(std::string(text), {std::string(place.container), std::string(place.name)}, entry);
}

Result<std::string> remove_json_entry(std::string_view text, const EntryPlace& place) {
  std::string out(text);
  for (;;) {  // names can be there twice
    Found found;
    if (auto done = find_places(out, place, found); !done) return fail(std::move(done.error()));
    if (!found.entry) return out;
    std::string next = without_member(out, found.document, found.container->value, *found.entry);
    if (found.container->value.members.size() == 1) {
      std::string bare = without_member(out, found.document, *found.root, *found.container);
      auto entry = data_of(out, found.document, *found.entry);
      if (!entry) return fail(std::move(entry.error()));
      if (set_json_entry(bare, place, *entry) == out) next = std::move(bare);
    }
    out = std::move(next);
  }
}

Result<std::optional<json::object>> find_json_entry(std::string_view text, const EntryPlace& place) {
  Found found;
  if (auto done = find_places(text, place, found); !done) return fail(std::move(done.error()));
  if (!found.entry) return std::nullopt;
  auto data = data_of(text, found.document, *found.entry);
  if (!data) return fail(std::move(data.error()));
  return std::move(*data);
}

bool covers(const json::object& found, const json::object& wanted) {
  return std::ranges::all_of(wanted, [&](const auto& member) {
    const json::value* held = found.if_contains(member.key());
    if (!held) return false;
    if (held->is_object() && member.value().is_object()) return covers(held->as_object(), member.value().as_object());
    return *held == member.value();
  });
}

std::string json_snippet(const EntryPlace& place, const json::object& entry) {
  return written(wrapped(place, entry), "", {}) + "\n";
}

}  // namespace llm::cli
