#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace re2 {
class RE2;
}

namespace llm::json::rules {

// A regular expression of ECMA-262 in Unicode mode, the dialect of JSON Schema (core, section 6.4), searched for in
// time linear in the text, whatever the pattern: RE2 does the work. What only backtracking can do is refused:
// backreferences, lookbehind, and lookahead anywhere but right after a leading ^ (`^(?!admin)[a-z]+$` works).
// Immutable: matches() may be called from any thread.
class Pattern {
 public:
  // kInvalidArgument says what is wrong with the pattern, kUnsupported what is refused.
  static Result<Pattern> compile(std::string_view source);

  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  bool matches(std::string_view text) const;
  // What a match of so many bytes may take if all goes wrong, in units of about 10 ns. As a rule it is a few ns per
  // byte: the full price is paid where RE2's automaton runs out of memory, which that of a small pattern cannot.
  std::size_t risk(std::size_t bytes) const { return size_ <= kSmall ? bytes : bytes * size_; }
  // Of the compiled form, in instructions.
  std::size_t size() const { return size_; }
  const std::string& source() const { return source_; }

 private:
  // All parts have to match, or not to: one for each lookahead and one for what follows.
  struct Part {
    std::unique_ptr<re2::RE2> expression;
    bool wanted = true;
  };
  explicit Pattern(std::string_view source);
  Result<void> add(std::string_view part, bool wanted);

  static constexpr std::size_t kSmall = 16;

  std::string source_;
  std::vector<Part> parts_;
  std::size_t size_ = 0;
};

}  // namespace llm::json::rules
