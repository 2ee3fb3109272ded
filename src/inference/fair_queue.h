#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "access/identity.h"

namespace llm::inference {

// Weighted fair queuing over projects and, within a project, over its keys: start-time fair queuing (Goyal, Vin, Cheng
// 1996) on two levels. Each flow has a virtual time at which its next item starts; serving an item moves that on by
// cost / weight, and the flow whose time is the earliest is served next. A flow that comes back starts no earlier than
// the one served last: nobody saves up turns while it asks for nothing, and nobody is punished for capacity that was
// idle. Interactive items go before batch ones, but one turn in `batch_every` is a batch item's while any waits.
//
// No locks, no clock, no I/O: the owner has the lock, and a sequence of calls has one outcome.
class FairQueue {
 public:
  using Priority = access::Priority;

  struct Share {
    std::string_view project = "default";
    std::string_view key = "local";
    double project_weight = 1;  // relative to other projects
    double key_weight = 1;      // relative to other keys of the project
  };
  struct Project;
  struct Account;  // one key of one project
  struct Item {
    Account* account = nullptr;
    Priority priority = Priority::kInteractive;
    std::int64_t cost = 1;
    bool waiting = false;
    std::list<Item*>::iterator place = {};
  };

  explicit FairQueue(std::size_t batch_every = 8) : batch_every_(std::max<std::size_t>(batch_every, 2)) {}
  FairQueue(const FairQueue&) = delete;
  FairQueue& operator=(const FairQueue&) = delete;
  ~FairQueue();

  // The account of a share, which stays until as many release()s. The weights of the latest call hold.
  Account& hold(const Share& share);
  void release(Account& account);

  // Served at once, without having waited.
  void charge(Account& account, Priority priority, std::int64_t cost);
  // What was served cost `difference` more (or less) than was charged.
  void correct(Account& account, Priority priority, std::int64_t difference);

  void push(Item& item);    // its account is held
  Item* pop();              // whose turn it is, charged; null if nobody waits
  void remove(Item& item);  // it left without a turn

  std::size_t size() const { return waiting_; }
  std::size_t waiting(std::string_view project) const;
  // How many turns until this item's, its own included, if nobody else comes or goes: 1 is next.
  std::size_t position(const Item& item) const;
  // The waiting item that should go to make room for one of this share: the newest of the project that has most
  // waiting, so that no project fills the queue for others. Null: this share has itself to blame.
  Item* to_push_out(const Share& share, Priority priority) const;
  std::size_t accounts() const { return accounts_; }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  template <class T>
  using ByName = std::unordered_map<std::string, T, Hash, std::equal_to<>>;  // values stay where they are
  struct Lane {
    double now = 0;                     // virtual time of the last turn
    std::vector<Project*> active = {};  // with somebody waiting, in the order in which they came
    std::size_t waiting = 0;
  };

  Priority next_priority() const;
  std::size_t place_in_lane(const Item& item) const;
  void forget_idle();

  std::size_t batch_every_;
  std::size_t since_batch_ = 0;  // interactive turns while batch items waited
  std::size_t waiting_ = 0;
  std::size_t accounts_ = 0;
  std::size_t forget_at_ = 1024;  // accounts
  std::array<Lane, 2> lanes_ = {};
  ByName<Project> projects_;
};

struct FairQueue::Account {
  struct Turn {
    double next = 0;  // virtual time, in the project, at which its next item starts
    std::list<Item*> items = {};
  };
  explicit Account(Project& owner) : project(owner) {}
  Project& project;
  double weight = 1;
  std::size_t holds = 0;
  std::array<Turn, 2> turns = {};
};

struct FairQueue::Project {
  struct Turn {
    double next = 0;
    double now = 0;  // virtual time within the project
    std::vector<Account*> active = {};
  };
  double weight = 1;
  std::size_t holds = 0;
  std::size_t waiting = 0;
  std::array<Turn, 2> turns = {};
  ByName<Account> accounts = {};
};

}  // namespace llm::inference
