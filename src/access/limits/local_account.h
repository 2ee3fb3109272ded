#pragma once

#include "access/limits/account.h"

namespace llm::access {

// Counts in this process's memory.
class LocalAccount final : public Account {
 public:
  // Quotas are missing until start_counting() has told what was used before. `recounts`: so they are again after
  // requests went by uncounted.
  LocalAccount(Scope its_scope, std::string its_subject, bool recounts)
      : Account(its_scope, std::move(its_subject)), recounts_(recounts) {}

  void check(const LimitTerms& terms, const Amounts& demand, const Moment& now, std::uint64_t ticket,
             Check& check) override;
  void take(const LimitTerms& terms, const Amounts& demand, const Moment& now, std::uint64_t ticket,
            Hold& hold) override;
  void settle(const Hold& hold, const Amounts& used, const Moment& now) override;
  void report(const LimitTerms& terms, const Moment& now, LimitReport& report) override;
  void limit_output(const LimitTerms& terms, const Moment& now, std::optional<std::int64_t>& most) override;
  void pass_by() override { counted_ = counted_ && !recounts_; }
  bool idle(const Moment& now) override;

  bool counted() const { return counted_; }
  // `used` before, in the periods of `then`. From now on all periods are counted, also those without a quota,
  // which may be set tomorrow.
  void start_counting(const QuotaAmounts& used, const Moment& then);

 private:
  struct Quota {
    std::int64_t period = 0;
    std::int64_t used = 0;
  };
  void turn(const Moment& now);

  std::array<std::unique_ptr<Gcra>, kRateKinds> rates_;  // made when first needed: most accounts have one or none
  std::array<Quota, kQuotaKinds> quotas_{};
  std::int64_t running_ = 0;
  const bool recounts_;
  bool counted_ = false;
};

}  // namespace llm::access
