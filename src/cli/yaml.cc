#include "cli/yaml.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <optional>
#include <set>
#include <sstream>
#include <utility>
#include <vector>
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "base/strings.h"

namespace llm::cli {
namespace {

constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxNodes = 100'000;  // after aliases have been put in

constexpr std::string_view kDigits = "0123456789";

bool all_of(std::string_view text, std::string_view allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

std::optional<json::value> based_integer(std::string_view digits, int base) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return json::value(number);
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool is_float(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  const auto e = text.find_first_of("eE");
  if (e != std::string_view::npos) {
    std::string_view exponent = text.substr(e + 1);
    if (exponent.starts_with('-') || exponent.starts_with('+')) exponent.remove_prefix(1);
    if (!all_of(exponent, kDigits)) return false;
    text = text.substr(0, e);
  }
  const auto point = text.find('.');
  if (point == std::string_view::npos) return all_of(text, kDigits);
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction = text.substr(point + 1);
  if (whole.empty()) return all_of(fraction, kDigits);
  return all_of(whole, kDigits) && (fraction.empty() || all_of(fraction, kDigits));
}

bool is_infinity_or_nan(std::string_view text) {
  if (text == ".nan" || text == ".NaN" || text == ".NAN") return true;
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  return text == ".inf" || text == ".Inf" || text == ".INF";
}

std::optional<json::value> number(std::string_view text) {
  if (text.starts_with("0x")) return based_integer(text.substr(2), 16);
  if (text.starts_with("0o")) return based_integer(text.substr(2), 8);
  if (!is_float(text)) return std::nullopt;
  if (text.starts_with('+')) text.remove_prefix(1);
  if (const auto integer = parse_number<std::int64_t>(text)) return json::value(*integer);
  if (const auto large = parse_number<std::uint64_t>(text)) return json::value(*large);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;  // out of range: stays a string, as no number can say it
  return json::value(value);
}

// A plain scalar by the core schema; a string if it is nothing else.
json::value plain_scalar(std::string_view text) {
  constexpr auto is_one_of = [](std::string_view word, std::initializer_list<std::string_view> words) {
    return std::ranges::find(words, word) != words.end();
  };
  if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) return nullptr;
  if (is_one_of(text, {"true", "True", "TRUE"})) return true;
  if (is_one_of(text, {"false", "False", "FALSE"})) return false;
  if (auto found = number(text)) return *found;
  return json::value(text);
}

std::size_t node_count(const json::value& value) {
  std::size_t count = 1;
  if (const auto* list = value.if_array()) {
    for (const auto& item : *list) count += node_count(item);
  } else if (const auto* map = value.if_object()) {
    for (const auto& entry : *map) count += node_count(entry.value());
  }
  return count;
}

// Builds the document from the parser's events. Reports errors as YAML::ParserException, like the parser itself.
class Builder : public YAML::EventHandler {
 public:
  YamlDocument take() { return std::move(document_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { scalar(mark, anchor, nullptr); }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    scalar(mark, anchor, typed(mark, tag, text));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (wants_key()) refuse(mark, "a key must be a string, not an alias");
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) refuse(mark, "an alias inside its own anchor");
    const json::value& value = found->second;
    nodes_ += node_count(value);
    if (nodes_ > kMaxNodes) refuse(mark, fmt::format("aliases make more than {} values of this document", kMaxNodes));
    deliver(mark, 0, value);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, json::array());
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, json::object());
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    json::value container;
    std::string pointer;
    YAML::Mark mark;
    YAML::anchor_t anchor = 0;
    std::optional<std::string> key;
  };

  [[noreturn]] static void refuse(const YAML::Mark& mark, const std::string& why) {
    throw YAML::ParserException(mark, why);
  }

  bool wants_key() const { return !frames_.empty() && frames_.back().container.is_object() && !frames_.back().key; }

  static json::value typed(const YAML::Mark& mark, const std::string& tag, const std::string& text) {
    constexpr std::string_view kCore = "tag:yaml.org,2002:";
    if (!valid_utf8(text)) refuse(mark, "an escape here makes something that is not UTF-8; write the character itself");
    if (tag == "!" || tag == std::string(kCore) + "str") return json::value(text);  // "!": quoted
    if (is_infinity_or_nan(text)) refuse(mark, fmt::format("{} is not a number that settings can hold", text));
    json::value value = plain_scalar(text);
    if (tag.empty() || tag == "?") return value;
    const std::string_view name = tag.starts_with(kCore) ? std::string_view(tag).substr(kCore.size()) : "";
    const bool fits = (name == "null" && value.is_null()) || (name == "bool" && value.is_bool()) ||
                      (name == "int" && (value.is_int64() || value.is_uint64())) ||
                      (name == "float" && value.is_number());
    if (!fits) refuse(mark, fmt::format("the tag {} does not fit here", tag));
    return value;
  }

  // The pointer of the value that comes next; records its place.
  std::string next_pointer(const YAML::Mark& mark) {
    if (frames_.empty()) return {};
    const Frame& top = frames_.back();
    if (top.key) return json::pointer_join(top.pointer, *top.key);
    std::string pointer = json::pointer_join(top.pointer, std::to_string(top.container.get_array().size()));
    document_.positions[pointer] = {mark.line + 1, mark.column + 1};
    return pointer;
  }

  void scalar(const YAML::Mark& mark, YAML::anchor_t anchor, json::value value) {
    if (!wants_key()) return deliver(mark, anchor, std::move(value));
    Frame& top = frames_.back();
    if (!value.is_string()) refuse(mark, "a key must be a string; put it in quotes");
    const std::string key(value.get_string());
    if (top.container.get_object().contains(key)) refuse(mark, fmt::format("the key \"{}\" is here twice", key));
    if (key == "<<") refuse(mark, "merge keys (<<) are not supported; repeat the settings");
    if (anchor != 0) anchors_[anchor] = value;
    top.key = key;
    document_.positions[json::pointer_join(top.pointer, key)] = {mark.line + 1, mark.column + 1};
  }

  void deliver(const YAML::Mark& mark, YAML::anchor_t anchor, json::value value) {
    if (++nodes_ > kMaxNodes) refuse(mark, fmt::format("more than {} values", kMaxNodes));
    next_pointer(mark);
    put(anchor, std::move(value));
  }

  void put(YAML::anchor_t anchor, json::value value) {
    if (anchor != 0) anchors_[anchor] = value;
    if (frames_.empty()) {
      document_.value = std::move(value);
      return;
    }
    Frame& top = frames_.back();
    if (top.container.is_array()) {
      top.container.get_array().push_back(std::move(value));
    } else {
      top.container.get_object().emplace(*top.key, std::move(value));
      top.key.reset();
    }
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, json::value container) {
    if (wants_key()) refuse(mark, "a key must be a string, not a list or a map");
    if (frames_.size() >= kMaxDepth) refuse(mark, fmt::format("nested deeper than {} levels", kMaxDepth));
    const std::string_view core = container.is_array() ? "tag:yaml.org,2002:seq" : "tag:yaml.org,2002:map";
    if (!tag.empty() && tag != "?" && tag != "!" && tag != core) refuse(mark, fmt::format("unknown tag {}", tag));
    if (++nodes_ > kMaxNodes) refuse(mark, fmt::format("more than {} values", kMaxNodes));
    std::string pointer = next_pointer(mark);
    frames_.push_back({std::move(container), std::move(pointer), mark, anchor, {}});
  }

  void close() {
    Frame done = std::move(frames_.back());
    frames_.pop_back();
    put(done.anchor, std::move(done.container));
  }

  YamlDocument document_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, json::value> anchors_;  // complete ones only
  std::size_t nodes_ = 0;
};

// Swallows a second document, only to know that there is one.
class Ignore : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { mark_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
  YAML::Mark mark_;
};

std::unexpected<Error> malformed(std::string message, Position at) {
  return fail(Error{ErrorCode::kMalformed, std::move(message), {}, {{"line", at.line}, {"column", at.column}}, 0});
}

// Control characters that YAML allows nowhere (section 5.1); the parser would take a NUL for the end.
bool is_forbidden(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7F;
}

Result<void> check_characters(std::string_view text) {
  Position at{1, 1};
  for (const auto line : split(text, '\n')) {
    if (!valid_utf8(line)) return malformed("this line is not UTF-8", at);
    if (const auto bad = std::ranges::find_if(line, is_forbidden); bad != line.end()) {
      return malformed(fmt::format("this line holds the control character U+{:04X}", static_cast<unsigned char>(*bad)),
                       at);
    }
    ++at.line;
  }
  return {};
}

}  // namespace

Result<YamlDocument> parse_yaml(std::string_view text) {
  if (auto checked = check_characters(text); !checked) return fail(std::move(checked.error()));
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Builder builder;
    if (!parser.HandleNextDocument(builder)) return YamlDocument{};
    Ignore second;
    if (parser.HandleNextDocument(second)) {
      return malformed("a second document begins here; there may be only one", {second.mark_.line + 1, 1});
    }
    return builder.take();
  } catch (const YAML::Exception& error) {
    if (error.mark.is_null()) return malformed(error.msg, {1, 1});
    return malformed(error.msg, {error.mark.line + 1, error.mark.column + 1});
  } catch (const std::exception& error) {
    return malformed(error.what(), {1, 1});
  }
}

std::string yaml_scalar(const json::value& scalar) {
  if (scalar.is_double()) return fmt::format("{}", scalar.get_double());
  if (!scalar.is_string()) return json::write(scalar);
  const std::string_view text = scalar.get_string();
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-";  // safe anywhere inside a plain scalar
  const bool plain =
      all_of(text, kPlain) && !std::string_view("-.").contains(text.front()) && plain_scalar(text).is_string();
  if (plain) return std::string(text);
  std::string quoted;
  json::append_quoted(quoted, text);
  return quoted;
}

}  // namespace llm::cli
