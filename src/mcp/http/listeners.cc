#include "mcp/http/listeners.h"

#include <utility>
#include <vector>

namespace llm::mcp {

Listeners::Listeners(Loop& loop, const HttpSettings& settings)
    : loop_(loop), settings_(settings), next_look_([this] { look(); }) {}

Listeners::Membership::Membership(Listeners& all, const access::Principal& principal, std::function<void()> end)
    : all_(all), principal_(principal), end_(std::move(end)) {
  if (principal_.local() || !all_.settings_.still_valid) return;
  place_ = all_.members_.insert(all_.members_.end(), this);
  member_ = true;
  if (!all_.next_look_.armed()) all_.arm();
}

Listeners::Membership::~Membership() {
  if (member_) all_.members_.erase(place_);
}

void Listeners::arm() {
  loop_.wheel().arm(next_look_, settings_.validity_interval);
}

void Listeners::look() {
  std::vector<std::function<void()>> ends;  // whoever ends may leave at once
  for (auto place = members_.begin(); place != members_.end();) {
    Membership& member = **place++;
    if (settings_.still_valid(member.principal_)) continue;
    members_.erase(member.place_);
    member.member_ = false;
    ends.push_back(std::move(member.end_));
  }
  for (const auto& end : ends) end();
  if (!members_.empty()) arm();
}

}  // namespace llm::mcp
