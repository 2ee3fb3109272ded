#include "json/schema_pattern_syntax.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <fmt/format.h>
#include <optional>
#include <utility>

#include "base/strings.h"

namespace llm::json::rules {

namespace {

constexpr std::size_t kMaxPattern = 16 * 1024;      // bytes, as written
constexpr std::size_t kMaxTranslated = 512 * 1024;  // bytes, with repetitions written out
constexpr int kMaxDepth = 100;                      // groups in groups
constexpr std::size_t kMaxRepeat = 10'000;
constexpr std::size_t kRe2Repeat = 1000;  // RE2 refuses more, also as a product of nested repetitions

constexpr std::string_view kDot = R"([^\n\r\x{2028}\x{2029}])";
// ECMA-262's white space and line ends, and everything else.
constexpr std::string_view kSpace = R"(\t-\r\x{20}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F})"
                                    R"(\x{3000}\x{FEFF})";
constexpr std::string_view kNotSpace =
    R"(\x{0}-\x{8}\x{E}-\x{1F}\x{21}-\x{9F}\x{A1}-\x{167F}\x{1681}-\x{1FFF}\x{200B}-\x{2027}\x{202A}-\x{202E})"
    R"(\x{2030}-\x{205E}\x{2060}-\x{2FFF}\x{3001}-\x{FEFE}\x{FF00}-\x{10FFFF})";

using Name = std::pair<std::string_view, std::string_view>;
// Long names of general categories (ECMA-262, table "Value aliases for General_Category"); RE2 knows the short ones.
constexpr std::array<Name, 39> kCategories = {{
    {"Cased_Letter", "L&"},
    {"Close_Punctuation", "Pe"},
    {"Connector_Punctuation", "Pc"},
    {"Control", "Cc"},
    {"Currency_Symbol", "Sc"},
    {"Dash_Punctuation", "Pd"},
    {"Decimal_Number", "Nd"},
    {"Enclosing_Mark", "Me"},
    {"Final_Punctuation", "Pf"},
    {"Format", "Cf"},
    {"Initial_Punctuation", "Pi"},
    {"Letter", "L"},
    {"Letter_Number", "Nl"},
    {"Line_Separator", "Zl"},
    {"Lowercase_Letter", "Ll"},
    {"Mark", "M"},
    {"Math_Symbol", "Sm"},
    {"Modifier_Letter", "Lm"},
    {"Modifier_Symbol", "Sk"},
    {"Nonspacing_Mark", "Mn"},
    {"Number", "N"},
    {"Open_Punctuation", "Ps"},
    {"Other", "C"},
    {"Other_Letter", "Lo"},
    {"Other_Number", "No"},
    {"Other_Punctuation", "Po"},
    {"Other_Symbol", "So"},
    {"Paragraph_Separator", "Zp"},
    {"Private_Use", "Co"},
    {"Punctuation", "P"},
    {"Separator", "Z"},
    {"Space_Separator", "Zs"},
    {"Spacing_Mark", "Mc"},
    {"Surrogate", "Cs"},
    {"Symbol", "S"},
    {"Titlecase_Letter", "Lt"},
    {"Uppercase_Letter", "Lu"},
    {"digit", "Nd"},
    {"punct", "P"},
}};

// What one atom of a class stands for: a character, or a set already written to the output.
struct ClassAtom {
  std::optional<char32_t> character;
  std::string set;
};

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  Result<std::string> run() {
    if (in_.size() > kMaxPattern) return refuse(fmt::format("it is longer than {} bytes", kMaxPattern));
    if (!valid_utf8(in_)) return refuse("it is not UTF-8");
    if (auto done = alternatives(0); !done) return fail(std::move(done.error()));
    if (at_ < in_.size()) return refuse("a ) without its (");
    return std::move(out_);
  }

 private:
  static std::unexpected<Error> refuse(std::string why) { return fail(ErrorCode::kInvalidArgument, std::move(why)); }
  // Valid, but only backtracking can do it.
  static std::unexpected<Error> decline(std::string_view what) {
    return fail(ErrorCode::kUnsupported, fmt::format("{}, because that can take exponential time", what));
  }

  bool ahead(std::string_view text) const { return in_.substr(at_).starts_with(text); }
  bool take(std::string_view text) {
    if (!ahead(text)) return false;
    at_ += text.size();
    return true;
  }

  // Each of these returns the largest product of nested {n,m} in what it translated.
  Result<std::size_t> alternatives(int depth);
  Result<std::size_t> term(int depth);
  Result<std::size_t> group(int depth);
  Result<std::size_t> quantified(std::size_t begin, std::size_t factor, bool assertion);

  Result<void> escape();
  Result<void> character_class();
  Result<ClassAtom> class_atom();
  // After the backslash: what means the same in and outside of a class.
  Result<ClassAtom> shared_escape();
  Result<char32_t> unicode_escape();
  Result<std::string> property(bool negated);
  std::optional<char32_t> hexadecimal(std::size_t digits);
  char32_t next_character();

  std::optional<std::pair<std::size_t, std::optional<std::size_t>>> braces();
  std::string repeat(std::string_view atom, std::size_t least, std::optional<std::size_t> most, std::size_t chunk);
  std::string up_to(std::string_view atom, std::size_t most, std::size_t chunk);

  std::string_view in_;
  std::size_t at_ = 0;
  std::string out_;
};

void append_character(std::string& out, char32_t c) {
  if (c < 0x80 && ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))) {
    out.push_back(static_cast<char>(c));
  } else {
    fmt::format_to(std::back_inserter(out), "\\x{{{:X}}}", static_cast<std::uint32_t>(c));
  }
}

char32_t Translator::next_character() {
  const auto lead = static_cast<unsigned char>(in_[at_++]);
  if (lead < 0x80) return lead;
  const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  char32_t out = lead & (0x3FU >> more);
  for (int i = 0; i < more; ++i) out = out << 6 | (static_cast<unsigned char>(in_[at_++]) & 0x3FU);
  return out;
}

Result<std::size_t> Translator::alternatives(int depth) {
  std::size_t factor = 1;
  while (at_ < in_.size() && in_[at_] != ')') {
    if (take("|")) {
      out_.push_back('|');
      continue;
    }
    const auto inner = term(depth);
    if (!inner) return inner;
    factor = std::max(factor, *inner);
    if (out_.size() > kMaxTranslated) return refuse("it is too large");
  }
  return factor;
}

Result<std::size_t> Translator::term(int depth) {
  const std::size_t begin = out_.size();
  std::size_t factor = 1;
  bool assertion = false;
  const char c = in_[at_];
  if (c == '(') {
    const auto inner = group(depth);
    if (!inner) return inner;
    factor = *inner;
  } else if (c == '[') {
    ++at_;
    if (auto done = character_class(); !done) return fail(std::move(done.error()));
  } else if (c == '\\') {
    ++at_;
    assertion = ahead("b") || ahead("B");
    if (auto done = escape(); !done) return fail(std::move(done.error()));
  } else if (c == '^' || c == '$') {
    assertion = true;
    out_.append(1, in_[at_++]);
  } else if (c == '.') {
    ++at_;
    out_.append(kDot);
  } else if (c == '*' || c == '+' || c == '?') {
    return refuse(fmt::format("nothing to repeat before {}", c));
  } else {
    append_character(out_, next_character());
  }
  return quantified(begin, factor, assertion);
}

Result<std::size_t> Translator::group(int depth) {
  if (depth == kMaxDepth) return refuse("too many groups in groups");
  if (ahead("(?=") || ahead("(?!")) {
    return decline("lookahead works only right after a leading ^");
  }
  if (ahead("(?<=") || ahead("(?<!")) return decline("lookbehind is not supported");
  if (take("(?<")) {
    const auto end = in_.find('>', at_);
    if (end == std::string_view::npos || end == at_) return refuse("a group's name without its end");
    at_ = end + 1;
    out_.append("(?:");
  } else if (take("(?i:")) {
    out_.append("(?i:");
  } else if (take("(?-i:")) {
    out_.append("(?-i:");
  } else if (take("(?:")) {
    out_.append("(?:");
  } else if (ahead("(?")) {
    return refuse("(? starts no group that ECMA-262 knows");
  } else {
    ++at_;
    out_.append("(?:");
  }
  const auto factor = alternatives(depth + 1);
  if (!factor) return factor;
  if (!take(")")) return refuse("a ( without its )");
  out_.push_back(')');
  return factor;
}

// {n}, {n,} or {n,m}; anything else in braces is text.
std::optional<std::pair<std::size_t, std::optional<std::size_t>>> Translator::braces() {
  const auto end = in_.find('}', at_);
  if (!ahead("{") || end == std::string_view::npos) return std::nullopt;
  const std::string_view inside = in_.substr(at_ + 1, end - at_ - 1);
  const auto comma = inside.find(',');
  // Too long for the type is too long for everything: treated as one past the limit.
  const auto count = [](std::string_view digits) -> std::optional<std::size_t> {
    if (digits.empty() || !std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; })) return {};
    return parse_number<std::size_t>(digits).value_or(kMaxRepeat + 1);
  };
  const auto least = count(inside.substr(0, comma));
  if (!least) return std::nullopt;
  std::optional<std::size_t> most = least;
  if (comma != std::string_view::npos) {
    most = count(inside.substr(comma + 1));
    if (!most && comma + 1 < inside.size()) return std::nullopt;
  }
  at_ = end + 1;
  return std::pair{*least, most};
}

Result<std::size_t> Translator::quantified(std::size_t begin, std::size_t factor, bool assertion) {
  const bool single = ahead("*") || ahead("+") || ahead("?");
  const auto counted = single ? std::nullopt : braces();
  if (!single && !counted) return factor;
  if (assertion) return refuse("an assertion cannot be repeated");
  if (single) {
    out_.append(1, in_[at_++]);
  } else {
    const auto [least, most] = *counted;
    const std::size_t count = most.value_or(least);
    if (count > kMaxRepeat) return refuse(fmt::format("more than {} repetitions", kMaxRepeat));
    if (count < least) return refuse("the bounds of a repetition are in the wrong order");
    const std::string atom = out_.substr(begin);
    const std::size_t chunk = std::max<std::size_t>(1, kRe2Repeat / factor);
    if (atom.size() * (2 * count / chunk + 2) > kMaxTranslated) return refuse("it is too large");
    out_.resize(begin);
    out_.append(repeat(atom, least, most, chunk));
    factor *= std::clamp<std::size_t>(count, 1, chunk);
  }
  take("?");  // lazy: the same texts match
  if (ahead("*") || ahead("+") || ahead("?") || braces()) return refuse("a repetition of a repetition");
  return factor;
}

// RE2 refuses large counts, so they are written as several of `chunk`.
std::string Translator::repeat(std::string_view atom, std::size_t least, std::optional<std::size_t> most,
                               std::size_t chunk) {
  std::string out;
  for (std::size_t left = least; left > 0;) {
    const std::size_t now = std::min(left, chunk);
    out.append(atom);
    if (now > 1) fmt::format_to(std::back_inserter(out), "{{{}}}", now);
    left -= now;
  }
  if (!most) {
    out.append(atom).push_back('*');
  } else {
    out.append(up_to(atom, *most - least, chunk));
  }
  if (out.empty()) out = "(?:)";
  return out;
}

// Nested, so that a matcher is in few places of the expression at a time.
std::string Translator::up_to(std::string_view atom, std::size_t most, std::size_t chunk) {
  if (most == 0) return {};
  if (most == 1) return std::string(atom) + "?";
  if (most <= chunk) return fmt::format("{}{{0,{}}}", atom, most);
  std::string out;
  std::string closing;
  while (most > chunk) {
    fmt::format_to(std::back_inserter(out), "(?:{}", repeat(atom, chunk, chunk, chunk));
    closing.insert(0, fmt::format("|{})", up_to(atom, chunk - 1, chunk)));
    most -= chunk;
  }
  return out + up_to(atom, most, chunk) + closing;
}

std::optional<char32_t> Translator::hexadecimal(std::size_t digits) {
  if (at_ + digits > in_.size()) return std::nullopt;
  std::uint32_t out = 0;
  const char* end = in_.data() + at_ + digits;
  if (digits == 0 || std::from_chars(in_.data() + at_, end, out, 16).ptr != end) return std::nullopt;
  at_ += digits;
  return out;
}

// After \u: four digits, two such escapes for a surrogate pair, or any number of digits in braces.
Result<char32_t> Translator::unicode_escape() {
  constexpr std::string_view kWanted = "\\u needs four hexadecimal digits, or some in braces";
  if (take("{")) {
    const auto end = in_.find('}', at_);
    const auto code =
        end == std::string_view::npos || end - at_ > 8 ? std::optional<char32_t>{} : hexadecimal(end - at_);
    if (!code || *code > 0x10FFFF) return refuse(std::string(kWanted));
    ++at_;
    return *code;
  }
  const auto first = hexadecimal(4);
  if (!first) return refuse(std::string(kWanted));
  if (*first < 0xD800 || *first > 0xDFFF) return *first;
  const auto second = *first < 0xDC00 && take("\\u") ? hexadecimal(4) : std::nullopt;
  if (!second || *second < 0xDC00 || *second > 0xDFFF) return refuse("half of a surrogate pair matches no text");
  return 0x10000 + ((*first - 0xD800) << 10) + (*second - 0xDC00);
}

// After \p or \P. The text goes into a class or between brackets.
Result<std::string> Translator::property(bool negated) {
  const auto end = in_.find('}', at_);
  if (!take("{") || end == std::string_view::npos) return refuse("\\p needs a property in braces");
  std::string_view name = in_.substr(at_, end - at_);
  at_ = end + 1;
  if (name == "Any" || name == "ASCII") {
    const bool all = name == "Any";
    if (negated && all) return refuse("\\P{Any} matches nothing");
    if (negated) return std::string(R"(\x{80}-\x{10FFFF})");
    return std::string(all ? R"(\x{0}-\x{10FFFF})" : R"(\x{0}-\x{7F})");
  }
  for (const std::string_view key : {"General_Category=", "gc=", "Script_Extensions=", "scx=", "Script=", "sc="}) {
    if (name.starts_with(key)) {
      name.remove_prefix(key.size());
      break;
    }
  }
  const auto* known = std::ranges::find(kCategories, name, &Name::first);
  if (known != kCategories.end()) name = known->second;
  if (name == "L&" || name == "LC") {
    if (negated) return refuse("\\P{LC} is not supported");
    return std::string(R"(\p{Lu}\p{Ll}\p{Lt})");
  }
  const bool plain = !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  });
  if (!plain) return refuse("an unknown Unicode property");
  return fmt::format("\\{}{{{}}}", negated ? 'P' : 'p', name);
}

Result<ClassAtom> Translator::shared_escape() {
  if (at_ == in_.size()) return refuse("a backslash at the end");
  const char32_t c = next_character();
  switch (c) {
    case 'd':
    case 'D':
    case 'w':
    case 'W':
      return ClassAtom{{}, std::string{'\\', static_cast<char>(c)}};
    case 's':
      return ClassAtom{{}, std::string(kSpace)};
    case 'S':
      return ClassAtom{{}, std::string(kNotSpace)};
    case 'p':
    case 'P': {
      auto set = property(c == 'P');
      if (!set) return fail(std::move(set.error()));
      return ClassAtom{{}, std::move(*set)};
    }
    case 't':
      return ClassAtom{U'\t', {}};
    case 'n':
      return ClassAtom{U'\n', {}};
    case 'v':
      return ClassAtom{U'\v', {}};
    case 'f':
      return ClassAtom{U'\f', {}};
    case 'r':
      return ClassAtom{U'\r', {}};
    case '0':
      if (at_ < in_.size() && in_[at_] >= '0' && in_[at_] <= '9') return refuse("\\0 before a digit");
      return ClassAtom{U'\0', {}};
    case 'c': {
      const char letter = at_ < in_.size() ? in_[at_] : '\0';
      if (!((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z'))) return refuse("\\c needs a letter");
      ++at_;
      return ClassAtom{static_cast<char32_t>(letter % 32), {}};
    }
    case 'x': {
      const auto code = hexadecimal(2);
      if (!code) return refuse("\\x needs two hexadecimal digits");
      return ClassAtom{*code, {}};
    }
    case 'u': {
      const auto code = unicode_escape();
      if (!code) return fail(code.error());
      return ClassAtom{*code, {}};
    }
    default:
      break;
  }
  if ((c >= '1' && c <= '9') || c == 'k') return decline("backreferences are not supported");
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
    return refuse(fmt::format("\\{} is no escape of ECMA-262", static_cast<char>(c)));
  }
  return ClassAtom{c, {}};
}

Result<void> Translator::escape() {
  if (ahead("b") || ahead("B")) {
    out_.push_back('\\');
    out_.push_back(in_[at_++]);
    return {};
  }
  const auto atom = shared_escape();
  if (!atom) return fail(atom.error());
  if (atom->character) {
    append_character(out_, *atom->character);
  } else {
    fmt::format_to(std::back_inserter(out_), "[{}]", atom->set);
  }
  return {};
}

Result<ClassAtom> Translator::class_atom() {
  if (!take("\\")) return ClassAtom{next_character(), {}};
  if (take("b")) return ClassAtom{U'\b', {}};
  return shared_escape();
}

Result<void> Translator::character_class() {
  const bool negated = take("^");
  std::string items;
  const auto add = [&items](const ClassAtom& atom) {
    if (atom.character) {
      append_character(items, *atom.character);
    } else {
      items.append(atom.set);
    }
  };
  while (!take("]")) {
    if (at_ == in_.size()) return refuse("a [ without its ]");
    const auto first = class_atom();
    if (!first) return fail(first.error());
    add(*first);
    if (!ahead("-") || ahead("-]") || at_ + 1 == in_.size()) continue;
    ++at_;
    const auto last = class_atom();
    if (!last) return fail(last.error());
    if (first->character && last->character) {
      if (*last->character < *first->character) return refuse("a range of characters in the wrong order");
      items.push_back('-');
    } else {
      append_character(items, U'-');  // between sets it is a hyphen (annex B)
    }
    add(*last);
  }
  if (items.empty()) {
    out_.append(negated ? R"([\x{0}-\x{10FFFF}])" : R"([^\x{0}-\x{10FFFF}])");
  } else {
    fmt::format_to(std::back_inserter(out_), "[{}{}]", negated ? "^" : "", items);
  }
  return {};
}

}  // namespace

Result<std::string> to_re2(std::string_view pattern) {
  return Translator(pattern).run();
}

std::string shown_pattern(std::string_view pattern) {
  constexpr std::size_t kShown = 120;
  const std::string_view cut = pattern.substr(0, kShown);
  return std::string(cut.substr(0, utf8_complete_prefix(cut))) + (cut.size() < pattern.size() ? "..." : "");
}

}  // namespace llm::json::rules
