// Events, groups, cancellation, watched values and the blocking pool.
#include <atomic>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <thread>

#include "async/blocking_pool.h"
#include "async/cancel.h"
#include "async/event.h"
#include "async/run_task.h"
#include "async/task_group.h"
#include "async/watch.h"

namespace llm {
namespace {

using namespace std::chrono_literals;

Task<void> turn(Loop& loop) {
  co_await boost::asio::post(loop.executor(), use_task);
}

Task<void> wait_times(Event& event, int times, int& woken) {
  for (int i = 0; i < times; ++i) {
    co_await event.wait();
    ++woken;
  }
}

TEST(Event, RemembersOneNotification) {
  Loop loop("test");
  Event event(loop.executor());
  int woken = 0;
  event.notify();
  event.notify();
  run_task(loop, wait_times(event, 1, woken));
  EXPECT_EQ(woken, 1);
  TaskGroup group(loop.executor());
  group.spawn(wait_times(event, 1, woken));
  run_task(loop, turn(loop));
  EXPECT_EQ(woken, 1) << "two notifications before a wait count as one";
  event.notify();
  run_task(loop, group.join());
  EXPECT_EQ(woken, 2);
}

Task<void> ping(Event& mine, Event& theirs, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    theirs.notify();
    co_await mine.wait();
  }
  theirs.notify();
}

TEST(Event, TwoCoroutinesTakeTurns) {
  Loop loop("test");
  Event a(loop.executor());
  Event b(loop.executor());
  TaskGroup group(loop.executor());
  group.spawn(ping(a, b, 1000));
  group.spawn(ping(b, a, 1000));
  run_task(loop, group.join());
  EXPECT_EQ(group.size(), 0U);
}

struct Witness {
  explicit Witness(int& destroyed) : count(destroyed) {}
  ~Witness() { ++count; }
  int& count;
};

Task<void> wait_forever(std::shared_ptr<Event> event, std::shared_ptr<Witness> witness) {
  co_await event->wait();
  ADD_FAILURE() << "resumed";
  (void)witness;
}

TEST(Event, ALoopThatEndsFreesItsWaiters) {
  int destroyed = 0;
  {
    Loop loop("test");
    TaskGroup group(loop.executor());
    for (int i = 0; i < 3; ++i) {
      group.spawn(wait_forever(std::make_shared<Event>(loop.executor()), std::make_shared<Witness>(destroyed)));
    }
    run_task(loop, turn(loop));
    EXPECT_EQ(destroyed, 0);
    EXPECT_EQ(group.size(), 3U);
  }
  EXPECT_EQ(destroyed, 3);
}

TEST(Event, AnEventThatDiesDestroysItsWaiter) {
  int destroyed = 0;
  Loop loop("test");
  TaskGroup group(loop.executor());
  auto event = std::make_unique<Event>(loop.executor());
  const auto hang = [](Event& on, std::shared_ptr<Witness>) -> Task<void> { co_await on.wait(); };
  group.spawn(hang(*event, std::make_shared<Witness>(destroyed)));
  run_task(loop, turn(loop));
  event.reset();
  run_task(loop, turn(loop));
  EXPECT_EQ(destroyed, 1);
}

TEST(TaskGroup, MayGoBeforeItsTasks) {
  Loop loop("test");
  Event event(loop.executor());
  int woken = 0;
  auto group = std::make_unique<TaskGroup>(loop.executor());
  group->spawn(wait_times(event, 1, woken));
  run_task(loop, turn(loop));
  group.reset();
  event.notify();
  run_task(loop, turn(loop));
  run_task(loop, turn(loop));
  EXPECT_EQ(woken, 1);
}

Task<void> spawn_more(TaskGroup& group, Loop& loop, int depth, int& ran) {
  ++ran;
  co_await turn(loop);
  if (depth > 0) {
    group.spawn(spawn_more(group, loop, depth - 1, ran));
    group.spawn(spawn_more(group, loop, depth - 1, ran));
  }
}

TEST(TaskGroup, JoinWaitsForTasksThatTasksSpawn) {
  Loop loop("test");
  TaskGroup group(loop.executor());
  int ran = 0;
  run_task(loop, group.join());  // of nobody
  group.spawn(spawn_more(group, loop, 5, ran));
  run_task(loop, group.join());
  EXPECT_EQ(ran, 63);
}

TEST(Cancel, CallbacksRunOnce) {
  CancelSource source;
  int ran = 0;
  const auto token = source.token();
  const auto one = token.on_cancel([&] { ++ran; });
  auto two = token.on_cancel([&] { ran += 10; });
  two.reset();
  EXPECT_FALSE(token.cancelled());
  source.cancel();
  source.cancel();
  EXPECT_TRUE(token.cancelled());
  EXPECT_TRUE(source.cancelled());
  EXPECT_EQ(ran, 1);
  const auto late = token.on_cancel([&] { ran += 100; });
  EXPECT_EQ(ran, 101) << "at once when already cancelled";
  const auto never = CancelToken().on_cancel([&] { ran = -1; });
  EXPECT_FALSE(CancelToken().cancelled());
  EXPECT_EQ(ran, 101);
}

TEST(Cancel, RegistrationsMove) {
  CancelSource source;
  int ran = 0;
  auto one = source.token().on_cancel([&] { ++ran; });
  CancelRegistration two = std::move(one);
  one = source.token().on_cancel([&] { ran += 10; });
  one = std::move(two);  // drops what it held
  source.cancel();
  EXPECT_EQ(ran, 1);
}

TEST(Cancel, ACallbackMayDestroyTheSourceAndOtherRegistrations) {
  auto source = std::make_unique<CancelSource>();
  const auto token = source->token();
  int ran = 0;
  auto victim = std::make_unique<CancelRegistration>(token.on_cancel([&] { ran += 100; }));
  CancelRegistration inner;
  const auto first = token.on_cancel([&] {
    ++ran;
    victim.reset();
    source.reset();
    inner = token.on_cancel([&] { ran += 10; });
  });
  source->cancel();
  EXPECT_EQ(ran, 11);
  EXPECT_TRUE(token.cancelled());
}

TEST(Cancel, ACallbackMayOwnAnotherRegistration) {
  CancelSource source;
  const auto token = source.token();
  const auto owned = std::make_shared<CancelRegistration>(token.on_cancel([] {}));
  auto owner = token.on_cancel([owned] {});
  std::weak_ptr<CancelRegistration> weak = owned;
  const_cast<std::shared_ptr<CancelRegistration>&>(owned).reset();
  owner.reset();
  EXPECT_TRUE(weak.expired());
  source.cancel();
}

Task<void> follow(Watch<int>& watch, int last, int& seen) {
  auto current = watch.get();
  while (current.value < last) {
    EXPECT_TRUE(co_await watch.changed(current.version, {}, std::nullopt));
    const auto next = watch.get();
    EXPECT_GT(next.version, current.version);
    current = next;
  }
  seen = current.value;
}

TEST(Watch, TellsOtherLoopsWhatChanged) {
  Watch<int> watch(0);
  Loop first("first");
  Loop second("second");
  TaskGroup group(second.executor());
  int seen_here = 0;
  int seen_there = 0;
  group.spawn(follow(watch, 1000, seen_there));
  second.start();
  std::thread writer([&] {
    for (int i = 1; i <= 1000; ++i) watch.set(i);
  });
  run_task(first, follow(watch, 1000, seen_here));
  writer.join();
  EXPECT_EQ(seen_here, 1000);
  std::atomic<bool> joined = false;
  boost::asio::co_spawn(second.executor(), group.join(), [&](std::exception_ptr) {
    joined = true;
    second.stop();
  });
  second.join();
  EXPECT_TRUE(joined);
  EXPECT_EQ(seen_there, 1000);
}

Task<void> wait_changed(Watch<int>& watch, std::uint64_t seen, CancelToken cancel,
                        std::optional<std::chrono::milliseconds> timeout, bool& changed) {
  changed = co_await watch.changed(seen, cancel, timeout);
}

TEST(Watch, TimesOutAndIsCancelled) {
  Loop loop("test");
  Watch<int> watch(7);
  bool changed = true;
  const auto version = watch.get().version;
  run_task(loop, wait_changed(watch, version, {}, 10ms, changed));
  EXPECT_FALSE(changed);
  run_task(loop, wait_changed(watch, version - 1, {}, 0ms, changed));
  EXPECT_TRUE(changed) << "a change of before counts";

  CancelSource source;
  TaskGroup group(loop.executor());
  group.spawn(wait_changed(watch, version, source.token(), std::chrono::milliseconds::max(), changed));
  run_task(loop, turn(loop));
  source.cancel();
  run_task(loop, group.join());
  EXPECT_FALSE(changed);
  changed = true;
  run_task(loop, wait_changed(watch, version, source.token(), std::nullopt, changed));
  EXPECT_FALSE(changed) << "cancelled before it began";
}

TEST(Watch, UpdateChangesInPlace) {
  Watch<std::string> watch("a");
  const auto before = watch.get();
  watch.update([](std::string& value) { value += "b"; });
  EXPECT_EQ(watch.get().value, "ab");
  EXPECT_EQ(watch.get().version, before.version + 1);
}

Task<void> compute(BlockingPool& pool, Loop& loop, int input, int& sum) {
  const auto here = std::this_thread::get_id();
  const auto [value, there] = co_await pool.run([input] { return std::pair(input * 2, std::this_thread::get_id()); });
  EXPECT_NE(there, here);
  EXPECT_TRUE(loop.is_current());
  EXPECT_EQ(std::this_thread::get_id(), here);
  sum += value;
}

TEST(BlockingPool, ComesBackToItsLoop) {
  Loop loop("test");
  BlockingPool pool(3);
  TaskGroup group(loop.executor());
  int sum = 0;
  for (int i = 0; i < 200; ++i) group.spawn(compute(pool, loop, i, sum));
  run_task(loop, group.join());
  EXPECT_EQ(sum, 200 * 199);
}

Task<void> own_result(BlockingPool& pool, std::string& out) {
  auto text = std::make_unique<std::string>("moved in and out");
  const auto result = co_await pool.run([text = std::shared_ptr<std::string>(std::move(text))] { return *text; });
  out = result;
}

TEST(BlockingPool, ALoopMayEndBeforeItsWorkIsDone) {
  std::string out;
  Loop loop("test");
  {
    BlockingPool pool(1);
    TaskGroup group(loop.executor());
    for (int i = 0; i < 20; ++i) group.spawn(own_result(pool, out));
    run_task(loop, turn(loop));
  }  // the pool ends first; what it posts to the loop is dropped with it
}

TEST(Loop, PostsFromOtherThreadsAndStops) {
  Loop loop("test");
  int ran = 0;
  loop.start();
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) loop.post([&] { ++ran; });
    loop.post([&] {
      EXPECT_TRUE(loop.is_current());
      loop.stop();
    });
  });
  other.join();
  loop.join();
  EXPECT_EQ(ran, 100);
  EXPECT_FALSE(loop.is_current());
  loop.stop();
}

Task<void> sleep_a_little(bool& slept) {
  slept = co_await sleep_for(1ms);
}

TEST(Loop, Sleeps) {
  Loop loop("test");
  bool slept = false;
  run_task(loop, sleep_a_little(slept));
  EXPECT_TRUE(slept);
}

}  // namespace
}  // namespace llm
