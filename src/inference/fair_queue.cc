#include "inference/fair_queue.h"

#include <algorithm>
#include <cmath>

namespace llm::inference {
namespace {

std::size_t index(access::Priority priority) {
  return static_cast<std::size_t>(priority);
}

// A weight comes from a setting; one that is nonsense must not stop the queue.
double sane(double weight) {
  return std::isfinite(weight) ? std::clamp(weight, 1e-3, 1e6) : 1;
}

// The one whose next item starts first; of equals, the one that has been active for longest.
template <class Flow>
Flow* earliest(const std::vector<Flow*>& flows, std::size_t lane) {
  return *std::ranges::min_element(flows, {}, [lane](const Flow* flow) { return flow->turns[lane].next; });
}

}  // namespace

FairQueue::~FairQueue() = default;

FairQueue::Account& FairQueue::hold(const Share& share) {
  auto project = projects_.find(share.project);
  if (project == projects_.end()) project = projects_.try_emplace(std::string(share.project)).first;
  Project& owner = project->second;
  auto account = owner.accounts.find(share.key);
  if (account == owner.accounts.end()) {
    ++owner.holds;  // not idle, although nobody holds it yet
    if (++accounts_ > forget_at_) forget_idle();
    --owner.holds;
    account = owner.accounts.try_emplace(std::string(share.key), owner).first;
  }
  owner.weight = sane(share.project_weight);
  account->second.weight = sane(share.key_weight);
  ++owner.holds;
  ++account->second.holds;
  return account->second;
}

void FairQueue::release(Account& account) {
  --account.holds;
  --account.project.holds;
}

void FairQueue::charge(Account& account, Priority priority, std::int64_t cost) {
  const std::size_t lane = index(priority);
  auto& outer = account.project.turns[lane];
  auto& inner = account.turns[lane];
  if (outer.active.empty()) outer.next = std::max(outer.next, lanes_[lane].now);
  if (inner.items.empty()) inner.next = std::max(inner.next, outer.now);
  lanes_[lane].now = std::max(lanes_[lane].now, outer.next);
  outer.now = std::max(outer.now, inner.next);
  outer.next += static_cast<double>(cost) / account.project.weight;
  inner.next += static_cast<double>(cost) / account.weight;
}

// While a flow has items waiting, what it gets back may put it before those served in the meantime: it was held up for
// a cost that it did not cause. Once it has none, the credit lapses (charge() and push() start it at the time that is).
void FairQueue::correct(Account& account, Priority priority, std::int64_t difference) {
  const std::size_t lane = index(priority);
  account.project.turns[lane].next += static_cast<double>(difference) / account.project.weight;
  account.turns[lane].next += static_cast<double>(difference) / account.weight;
}

void FairQueue::push(Item& item) {
  const std::size_t lane = index(item.priority);
  Project& project = item.account->project;
  auto& outer = project.turns[lane];
  auto& inner = item.account->turns[lane];
  if (outer.active.empty()) {
    outer.next = std::max(outer.next, lanes_[lane].now);
    lanes_[lane].active.push_back(&project);
  }
  if (inner.items.empty()) {
    inner.next = std::max(inner.next, outer.now);
    outer.active.push_back(item.account);
  }
  item.place = inner.items.insert(inner.items.end(), &item);
  item.waiting = true;
  ++project.waiting;
  ++lanes_[lane].waiting;
  ++waiting_;
}

access::Priority FairQueue::next_priority() const {
  const bool interactive = lanes_[index(Priority::kInteractive)].waiting > 0;
  const bool batch = lanes_[index(Priority::kBatch)].waiting > 0;
  return batch && (!interactive || since_batch_ + 1 >= batch_every_) ? Priority::kBatch : Priority::kInteractive;
}

FairQueue::Item* FairQueue::pop() {
  if (waiting_ == 0) return nullptr;
  const Priority priority = next_priority();
  const std::size_t lane = index(priority);
  if (priority == Priority::kBatch || lanes_[index(Priority::kBatch)].waiting == 0) {
    since_batch_ = 0;
  } else {
    ++since_batch_;
  }
  Project& project = *earliest(lanes_[lane].active, lane);
  Item& item = *earliest(project.turns[lane].active, lane)->turns[lane].items.front();
  charge(*item.account, priority, item.cost);
  remove(item);
  return &item;
}

void FairQueue::remove(Item& item) {
  if (!item.waiting) return;
  const std::size_t lane = index(item.priority);
  Project& project = item.account->project;
  auto& inner = item.account->turns[lane];
  inner.items.erase(item.place);
  item.waiting = false;
  --project.waiting;
  --lanes_[lane].waiting;
  --waiting_;
  if (!inner.items.empty()) return;
  std::erase(project.turns[lane].active, item.account);
  if (project.turns[lane].active.empty()) std::erase(lanes_[lane].active, &project);
}

std::size_t FairQueue::waiting(std::string_view project) const {
  const auto found = projects_.find(project);
  return found == projects_.end() ? 0 : found->second.waiting;
}

// Plays the turns of the lane on a copy of its virtual times.
std::size_t FairQueue::place_in_lane(const Item& item) const {
  struct Inner {
    double next, weight;
    std::list<Item*>::const_iterator at, end;
  };
  struct Outer {
    double next, weight;
    std::vector<Inner> keys;
  };
  const std::size_t lane = index(item.priority);
  std::vector<Outer> projects;
  for (const Project* project : lanes_[lane].active) {
    auto& copy = projects.emplace_back(project->turns[lane].next, project->weight, std::vector<Inner>());
    for (const Account* account : project->turns[lane].active) {
      const auto& turn = account->turns[lane];
      copy.keys.emplace_back(turn.next, account->weight, turn.items.begin(), turn.items.end());
    }
  }
  for (std::size_t place = 1;; ++place) {
    const auto project = std::ranges::min_element(projects, {}, &Outer::next);
    const auto key = std::ranges::min_element(project->keys, {}, &Inner::next);
    const Item& served = **key->at;
    if (&served == &item) return place;
    project->next += static_cast<double>(served.cost) / project->weight;
    key->next += static_cast<double>(served.cost) / key->weight;
    if (++key->at == key->end) project->keys.erase(key);
    if (project->keys.empty()) projects.erase(project);
  }
}

std::size_t FairQueue::position(const Item& item) const {
  const std::size_t place = place_in_lane(item);
  const std::size_t interactive = lanes_[index(Priority::kInteractive)].waiting;
  const std::size_t batch = lanes_[index(Priority::kBatch)].waiting;
  const std::size_t between = batch_every_ - 1;  // interactive turns from one batch turn to the next
  if (item.priority == Priority::kBatch) {
    return place + std::min(interactive, place * between - std::min(since_batch_, between));
  }
  return place + std::min(batch, (place - 1 + since_batch_) / between);
}

FairQueue::Item* FairQueue::to_push_out(const Share& share, Priority priority) const {
  const Project* most = nullptr;
  for (const Lane& lane : lanes_) {
    for (const Project* project : lane.active) {
      if (!most || project->waiting > most->waiting) most = project;
    }
  }
  if (!most) return nullptr;
  const auto own = projects_.find(share.project);
  const std::size_t own_waiting = own == projects_.end() ? 0 : own->second.waiting;
  auto lane = index(Priority::kBatch);
  if (most->waiting <= own_waiting + 1) {
    // Its own share is used up; but what is urgent may take the place of what is not.
    if (priority == Priority::kBatch || own == projects_.end()) return nullptr;
    most = &own->second;
    if (most->turns[lane].active.empty()) return nullptr;
  } else if (most->turns[lane].active.empty()) {
    lane = index(Priority::kInteractive);
  }
  const Account* longest = *std::ranges::max_element(
      most->turns[lane].active, {}, [lane](const Account* account) { return account->turns[lane].items.size(); });
  return longest->turns[lane].items.back();
}

// Keeps memory in proportion to those who are there. What is not held and owes nothing that matters is forgotten: while
// nobody waits, the capacity is there for all, and what anybody had of it is no debt.
void FairQueue::forget_idle() {
  const auto settled = [this](const auto& turns, const auto& now) {
    return waiting_ == 0 || (turns[0].next <= now[0].now && turns[1].next <= now[1].now);
  };
  for (auto at = projects_.begin(); at != projects_.end();) {
    Project& project = at->second;
    accounts_ -= std::erase_if(project.accounts, [&](const auto& one) {
      return one.second.holds == 0 && (project.waiting == 0 || settled(one.second.turns, project.turns));
    });
    const bool idle = project.holds == 0 && project.accounts.empty() && settled(project.turns, lanes_);
    at = idle ? projects_.erase(at) : std::next(at);
  }
  forget_at_ = std::max<std::size_t>(1024, 2 * accounts_);
}

}  // namespace llm::inference
