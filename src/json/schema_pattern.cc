#include "json/schema_pattern.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include "json/schema_pattern_syntax.h"

namespace llm::json::rules {

namespace {

constexpr std::int64_t kMemory = 8 << 20;  // bytes of one pattern: instructions and the states RE2 caches

std::string refused(std::string_view source, std::string_view why) {
  return fmt::format("the pattern \"{}\" is not usable: {}", shown_pattern(source), why);
}

// Calls visit(offset) for each character that is neither escaped nor in a class, until that returns true.
template <class Visit>
std::size_t find_plain(std::string_view text, std::size_t from, Visit visit) {
  bool in_class = false;
  for (std::size_t i = from; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (in_class) {
      in_class = text[i] != ']';
    } else if (visit(i)) {
      return i;
    } else {
      in_class = text[i] == '[';
    }
  }
  return std::string_view::npos;
}

// Where the group ends whose '(' stands at `from`.
std::size_t group_end(std::string_view text, std::size_t from) {
  std::size_t depth = 0;
  return find_plain(text, from, [&](std::size_t i) {
    if (text[i] == '(') ++depth;
    return text[i] == ')' && --depth == 0;
  });
}

bool has_alternatives(std::string_view text) {
  std::size_t depth = 0;
  return find_plain(text, 0, [&](std::size_t i) {
           if (text[i] == '(') ++depth;
           if (text[i] == ')' && depth > 0) --depth;
           return text[i] == '|' && depth == 0;
         }) != std::string_view::npos;
}

bool is_lookahead(std::string_view text) {
  return text.starts_with("(?=") || text.starts_with("(?!");
}

}  // namespace

Pattern::Pattern(std::string_view source) : source_(source) {}
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

Result<void> Pattern::add(std::string_view part, bool wanted) {
  const auto translated = to_re2(part);
  if (!translated) {
    return fail(translated.error().code, refused(source_, translated.error().message));
  }
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_never_capture(true);
  options.set_max_mem(kMemory);
  auto expression = std::make_unique<re2::RE2>(*translated, options);
  if (expression->error_code() == re2::RE2::ErrorPatternTooLarge) {
    return fail(ErrorCode::kInvalidArgument, refused(source_, "it is too large"));
  }
  if (!expression->ok()) return fail(ErrorCode::kInvalidArgument, refused(source_, expression->error()));
  size_ += static_cast<std::size_t>(expression->ProgramSize());
  parts_.push_back({std::move(expression), wanted});
  return {};
}

Result<Pattern> Pattern::compile(std::string_view source) {
  Pattern out(source);
  std::string_view rest = source;
  if (rest.starts_with('^') && is_lookahead(rest.substr(1))) {
    rest.remove_prefix(1);
    while (is_lookahead(rest)) {
      const auto end = group_end(rest, 0);
      if (end == std::string_view::npos) break;  // the translation of the rest will say so
      if (auto added = out.add(fmt::format("^(?:{})", rest.substr(3, end - 3)), rest[2] == '='); !added) {
        return fail(std::move(added.error()));
      }
      rest.remove_prefix(end + 1);
    }
    if (has_alternatives(rest)) {
      return fail(ErrorCode::kUnsupported, refused(source, "put the alternatives after the lookahead in a group"));
    }
    if (auto added = out.add("^" + std::string(rest), true); !added) return fail(std::move(added.error()));
    return out;
  }
  if (auto added = out.add(source, true); !added) return fail(std::move(added.error()));
  return out;
}

bool Pattern::matches(std::string_view text) const {
  for (const auto& part : parts_) {
    if (part.expression->Match({text.data(), text.size()}, 0, text.size(), re2::RE2::UNANCHORED, nullptr, 0) !=
        part.wanted) {
      return false;
    }
  }
  return true;
}

}  // namespace llm::json::rules
