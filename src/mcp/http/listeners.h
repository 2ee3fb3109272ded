#pragma once

#include <functional>
#include <list>

#include "access/principal.h"
#include "async/loop.h"
#include "async/timer_wheel.h"
#include "mcp/http/settings.h"

namespace llm::mcp {

// The listening streams of one loop, which end when their principal may no longer do what it could: a key that was
// revoked, a token that expired. Others are asked for credentials with every request. On that loop.
class Listeners {
 public:
  Listeners(Loop& loop, const HttpSettings& settings);

  // Listens for as long as it lives.
  class Membership {
   public:
    // `end` is called once, from the loop. `principal` outlives this.
    Membership(Listeners& all, const access::Principal& principal, std::function<void()> end);
    ~Membership();
    Membership(const Membership&) = delete;
    Membership& operator=(const Membership&) = delete;

   private:
    friend class Listeners;
    Listeners& all_;
    const access::Principal& principal_;
    std::function<void()> end_;
    bool member_ = false;
    std::list<Membership*>::iterator place_;
  };

 private:
  void look();
  void arm();

  Loop& loop_;
  const HttpSettings& settings_;
  std::list<Membership*> members_;
  Deadline next_look_;
};

}  // namespace llm::mcp
