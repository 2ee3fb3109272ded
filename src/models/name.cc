#include "models/name.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/strings.h"

namespace llm::models {

namespace {

constexpr std::size_t kMaxLength = 128;
constexpr std::string_view kSeparator = "%2F";
constexpr std::string_view kDigestPrefix = "sha256:";
constexpr std::size_t kMostDigits = 64;

bool is_lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool is_letter_or_digit(char c) {
  return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}
bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}
bool is_inner(char c) {
  return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-';
}

std::string shown(char c) {
  if (c > ' ' && c < 0x7F) return fmt::format("'{}'", c);
  return fmt::format("byte 0x{:02x}", static_cast<unsigned char>(c));
}

std::unexpected<Error> bad(std::string_view what, std::string reason) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("{} is not valid: {}", what, reason));
}

Result<void> check(std::string_view what, std::string_view text, bool (*first)(char), std::string_view first_rule) {
  if (text.empty()) return bad(what, "it is empty");
  if (!first(text.front())) return bad(what, fmt::format("{} at its start; {}", shown(text.front()), first_rule));
  for (const char c : text) {
    if (!is_inner(c)) return bad(what, fmt::format("{}; use letters, digits, '.', '_' and '-'", shown(c)));
  }
  if (text.find("..") != std::string_view::npos) return bad(what, "two dots in a row");
  return {};
}

}  // namespace

Result<std::string> parse_plain_name(std::string_view text) {
  if (text.size() > kMaxLength) {
    return bad("model name", fmt::format("{} characters; at most {}", text.size(), kMaxLength));
  }
  const auto segments = split(text, '/');
  if (segments.size() > 2) return bad("model name", "more than one '/'; use `model` or `namespace/model`");
  for (const auto segment : segments) {
    if (auto ok = check("model name", segment, is_lower_or_digit, "begin with a lower-case letter or a digit"); !ok) {
      return fail(ok.error());
    }
  }
  return std::string(text);
}

Result<std::string> parse_version(std::string_view text) {
  if (text.size() > kMaxLength) {
    return bad("model version", fmt::format("{} characters; at most {}", text.size(), kMaxLength));
  }
  const auto first = [](char c) { return is_letter_or_digit(c) || c == '_'; };
  if (auto ok = check("model version", text, first, "begin with a letter, a digit or '_'"); !ok)
    return fail(ok.error());
  return std::string(text);
}

Result<ModelName> parse_model_name(std::string_view text) {
  ModelName result;
  const auto colon = text.find(':');
  auto name = parse_plain_name(text.substr(0, colon));
  if (!name) return fail(std::move(name.error()));
  result.name = std::move(*name);
  if (colon == std::string_view::npos) return result;
  auto version = parse_version(text.substr(colon + 1));
  if (!version) return fail(std::move(version.error()));
  result.version = std::move(*version);
  return result;
}

std::string to_string(const ModelName& name) {
  return name.name + ":" + name.version;
}

Result<VersionRef> parse_version_ref(std::string_view text) {
  const auto at = text.find('@');
  auto name = parse_model_name(text.substr(0, at));
  if (!name) return fail(std::move(name.error()));
  VersionRef version{std::move(*name), {}};
  if (at == std::string_view::npos) return version;
  std::string_view digits = text.substr(at + 1);
  if (!digits.starts_with(kDigestPrefix)) return bad("model version", "what follows '@' must begin with sha256:");
  digits.remove_prefix(kDigestPrefix.size());
  if (digits.size() < kFewestDigits || digits.size() > kMostDigits) {
    return bad("model version", fmt::format("{} hex digits after sha256:; expected {} to {}", digits.size(),
                                            kFewestDigits, kMostDigits));
  }
  version.digits = to_lower(digits);
  for (const char c : version.digits) {
    if (!is_hex(c)) return bad("model version", fmt::format("{} among the hex digits", shown(c)));
  }
  return version;
}

std::string to_string(const VersionRef& version) {
  return version.digits.empty() ? to_string(version.name)
                                : fmt::format("{}@{}{}", to_string(version.name), kDigestPrefix, version.digits);
}

std::string suggest_name(std::string_view text) {
  if (const auto slash = text.rfind('/'); slash != std::string_view::npos) text.remove_prefix(slash + 1);
  if (text.size() >= 5 && iequals(text.substr(text.size() - 5), ".gguf")) text.remove_suffix(5);
  std::string name;
  for (char c : text) {
    if (!is_inner(c)) c = '-';
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (name.empty() && !is_lower_or_digit(c)) continue;
    if (c == '.' && name.ends_with('.')) continue;
    name += c;
    if (name.size() == kMaxLength) break;
  }
  return name.empty() ? "model" : name;
}

std::string encode_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == '/') {
      out += kSeparator;
    } else {
      out += c;
    }
  }
  return out;
}

Result<std::string> decode_name(std::string_view component) {
  std::string name(component);
  if (const auto at = name.find(kSeparator); at != std::string::npos) name.replace(at, kSeparator.size(), "/");
  return parse_plain_name(name);
}

}  // namespace llm::models
