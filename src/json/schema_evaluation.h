#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "json/schema_findings.h"
#include "json/schema_program.h"
#include "json/schema_validator.h"

// The inside of evaluate(). One pass serves two ends: without findings it answers yes or no and stops at the first
// fault; with findings it goes on and says what is wrong.
namespace llm::json::rules {

// The members or items of one value that some keyword has evaluated, for unevaluatedProperties and unevaluatedItems.
class Marks {
 public:
  explicit Marks(std::size_t size) {
    if (size > kInline) more_.resize((size - kInline + 63) / 64);
  }
  void set(std::size_t i) { word(i) |= bit(i); }
  void set_first(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) set(i);
  }
  bool test(std::size_t i) const { return ((i < kInline ? few_[i / 64] : more_[i / 64 - kWords]) & bit(i)) != 0; }
  // Of the same value.
  void merge(const Marks& other) {
    for (std::size_t i = 0; i < kWords; ++i) few_[i] |= other.few_[i];
    for (std::size_t i = 0; i < more_.size(); ++i) more_[i] |= other.more_[i];
  }

 private:
  static constexpr std::size_t kWords = 4;
  static constexpr std::size_t kInline = kWords * 64;
  static std::uint64_t bit(std::size_t i) { return std::uint64_t{1} << (i % 64); }
  std::uint64_t& word(std::size_t i) { return i < kInline ? few_[i / 64] : more_[i / 64 - kWords]; }

  std::array<std::uint64_t, kWords> few_{};
  std::vector<std::uint64_t> more_;
};

// The schema resources that were entered on the way here, innermost first: the dynamic scope of core, section 7.1.
struct Scope {
  ResourceId resource = 0;
  const Scope* outer = nullptr;
};

class Evaluation {
 public:
  enum class Stop { kNone, kSteps, kDepth, kPatternTime, kPatternRisk };

  Evaluation(const Program& program, const SchemaLimits& limits, Findings* findings)
      : program_(program), limits_(limits), findings_(findings) {}

  // Does the value fit the node? `marks`: where to note what the node evaluates of the value's members or items;
  // nullptr if nobody asks. False, too, once a limit has stopped everything.
  bool run(NodeId id, const value& in, const Place& at, Marks* marks);
  Stop stopped() const { return stopped_; }

 private:
  class Quiet;

  bool apply(const Node& node, const value& in, Types type, const Place& at, Marks* marks);
  bool apply_all(const Node& node, const value& in, Types type, const Place& at, Marks* marks);
  bool apply_own(const Node& node, const value& in, Types type, const Place& at, Marks* marks);
  bool apply_unevaluated(const Node& node, const value& in, const Place& at, Marks& marks);

  // schema_evaluate_logic.cc
  bool logic(const Node& node, const value& in, const Place& at, Marks* marks);
  bool any_of(const Node& node, const value& in, const Place& at, Marks* marks);
  bool one_of(const Node& node, const value& in, const Place& at, Marks* marks);
  bool negation(const Node& node, const value& in, const Place& at);
  bool conditional(const Logic& rules, const value& in, const Place& at, Marks* marks);
  bool branch(NodeId id, const value& in, const Place& at, Marks* marks);
  void explain_branches(const Node& node, std::string_view keyword, const std::vector<NodeId>& branches,
                        const value& in, const Place& at);
  NodeId target(const DynamicRef& ref) const;

  // schema_evaluate_values.cc
  bool choice(const Node& node, const value& in, const Place& at);
  bool number(const Node& node, const value& in, const Place& at);
  bool string(const Node& node, std::string_view in, const Place& at);
  bool array(const Node& node, const json::array& in, const Place& at, Marks* marks);
  bool items(const Node& node, const json::array& in, const Place& at, Marks* marks);
  bool contains(const Node& node, const json::array& in, const Place& at, Marks* marks);

  // schema_evaluate_objects.cc
  bool object(const Node& node, const value& in, const Place& at, Marks* marks);
  bool members(const Node& node, const json::object& in, const Place& at, Marks* marks);
  bool member(const Node& node, std::string_view name, const value& in, const Place& at, bool& evaluated);
  bool member_name(NodeId id, std::string_view name, const Place& at);
  bool missing(const Node& node, const json::object& in, const Place& at);
  bool dependents(const Node& node, const value& in, const Place& at, Marks* marks);
  bool unknown_member(const Node& node, std::string_view keyword, std::string_view name, const Place& at);

  // Reports, if somebody listens. False.
  template <class Describe>
  bool broken(const Node& node, std::string_view keyword, const Place& at, Describe describe) {
    if (findings_ != nullptr && !findings_->full()) findings_->add(node, keyword, at, describe());
    return false;
  }
  // After a fault: is there nothing more to learn?
  bool enough() const { return findings_ == nullptr || findings_->full() || stopped_ != Stop::kNone; }
  bool hides(const Node& node) const { return secret_ || node.secret; }

  bool stop(Stop why) {
    if (stopped_ == Stop::kNone) stopped_ = why;
    return false;
  }
  // Counts work; false if that was too much.
  bool charge(std::size_t steps) {
    steps_ += steps;
    return steps_ <= limits_.max_steps || stop(Stop::kSteps);
  }

  // Whether a text matches; nullopt if finding out costs too much.
  std::optional<bool> matches(const Pattern& pattern, std::string_view text);

  const Program& program_;
  const SchemaLimits& limits_;
  Findings* findings_;
  const Scope* scope_ = nullptr;
  std::size_t steps_ = 0;
  std::size_t depth_ = 0;
  std::size_t risk_ = 0;                        // of patterns since the clock was read
  std::optional<std::int64_t> patterns_began_;  // CPU time of this thread in ms
  bool secret_ = false;
  Stop stopped_ = Stop::kNone;
};

// While it lives, only yes or no is wanted.
class Evaluation::Quiet {
 public:
  explicit Quiet(Evaluation& evaluation) : evaluation_(evaluation), findings_(evaluation.findings_) {
    evaluation.findings_ = nullptr;
  }
  ~Quiet() { evaluation_.findings_ = findings_; }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

 private:
  Evaluation& evaluation_;
  Findings* findings_;
};

}  // namespace llm::json::rules
