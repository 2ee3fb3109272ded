#include <arpa/inet.h>
#include <atomic>
#include <barrier>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <set>
#include <soci/soci.h>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>

#include "store/directory_tables.h"
#include "store/store_fixture.h"
#include "store/usage_tables.h"

// What only happens with a server: it restarts, it cannot be reached, connections break at the worst moment.
namespace llm::store {
namespace {

ProjectRow project(std::string id) {
  return {.id = std::move(id), .name = "", .settings = "", .created = 1, .disabled = 0};
}

class Postgres : public testing::Test {
 protected:
  void SetUp() override {
    server_ = PostgresUnderTest::shared();
    if (server_ == nullptr) GTEST_SKIP() << PostgresUnderTest::kMissing;
    settings_ = server_->new_database();
  }
  PostgresUnderTest* server_ = nullptr;
  DatabaseSettings settings_;
};

TEST_F(Postgres, HealsByItselfAfterARestart) {
  auto database = Database::open(settings_);
  ASSERT_TRUE(database);
  std::atomic<bool> stop = false;
  std::atomic<int> acknowledged_count = 0;
  std::atomic<int> refused = 0;
  std::vector<std::set<std::string>> acknowledged(4);
  std::vector<std::jthread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; !stop; ++i) {
        const std::string id = std::to_string(w) + "-" + std::to_string(i);
        const auto done = (*database)->write([&](Session& s) { return insert(s, project(id)); });
        if (done) {
          acknowledged[static_cast<std::size_t>(w)].insert(id);
          ++acknowledged_count;
        } else {
          EXPECT_EQ(done.error().code, ErrorCode::kUnavailable) << done.error().message;
          EXPECT_EQ(done.error().message.find("pass'word"), std::string::npos);
          ++refused;
        }
      }
    });
  }
  const auto more = [&] {
    for (const int goal = acknowledged_count + 20; acknowledged_count < goal;) std::this_thread::yield();
  };
  more();
  for (int round = 0; round < 2; ++round) {
    server_->stop();
    EXPECT_EQ((*database)->read([](Session& s) { return directory_revision(s); }).error().code,
              ErrorCode::kUnavailable);
    for (const int goal = refused + 20; refused < goal;) std::this_thread::yield();
    server_->start();
    more();  // without anybody doing anything
  }
  stop = true;
  writers.clear();
  const auto rows = (*database)->read([](Session& s) { return load_directory(s); });
  ASSERT_TRUE(rows);
  std::set<std::string> there;
  for (const auto& row : rows->projects) there.insert(row.id);
  for (const auto& mine : acknowledged) {
    for (const auto& id : mine) EXPECT_TRUE(there.contains(id)) << id << " was lost";
  }
}

TEST_F(Postgres, SaysWhyItCannotConnectAndKeepsThePassword) {
  DatabaseSettings wrong = settings_;
  wrong.password = "wrong secret";
  auto refused = Database::open(wrong);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(refused.error().message.find("password authentication failed"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(refused.error().message.find("secret"), std::string::npos) << refused.error().message;

  wrong.url = "postgresql://llm:secret@127.0.0.1:1/x";  // nobody listens there
  refused = Database::open(wrong);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(refused.error().message.find("secret"), std::string::npos) << refused.error().message;
}

TEST_F(Postgres, CommitsDurablyWhateverTheServersDefaultIs) {
  ASSERT_TRUE(Database::open(settings_));
  const std::string name =
      settings_.url.substr(settings_.url.find("test_"), settings_.url.find('?') - settings_.url.find("test_"));
  server_->execute("ALTER DATABASE " + name + " SET synchronous_commit = off");
  auto database = Database::open(settings_);
  ASSERT_TRUE(database);
  ASSERT_TRUE((*database)->write([](Session& s) -> Result<void> {
    std::string value;
    s.sql << "SHOW synchronous_commit", soci::into(value);
    EXPECT_EQ(value, "on");
    return {};
  }));
}

TEST_F(Postgres, OfTwoThatWaitForEachOtherOneIsTriedAgain) {
  auto database = Database::open(settings_);
  ASSERT_TRUE(database);
  std::barrier both(2);
  std::atomic<int> runs = 0;
  const auto lock = [&](const char* first, const char* second) {
    bool waited = false;
    const auto done = (*database)->write([&](Session& s) -> Result<void> {
      ++runs;
      if (auto one = lease_quota(s, first, 1, 1, 100); !one) return fail(one.error());
      if (!std::exchange(waited, true)) both.arrive_and_wait();
      if (auto two = lease_quota(s, second, 1, 1, 100); !two) return fail(two.error());
      return {};
    });
    EXPECT_TRUE(done) << done.error().message;
  };
  std::jthread other([&] { lock("b", "a"); });
  lock("a", "b");
  other.join();
  EXPECT_EQ(runs, 3);
  const auto leased = [&](const char* name) {
    return *(*database)->read([&](Session& s) { return leased_quota(s, name, 1); });
  };
  EXPECT_EQ(leased("a"), 2);
  EXPECT_EQ(leased("b"), 2);
}

// Between gateway and server: passes everything on and breaks connections when it was told to.
class BreakingProxy {
 public:
  enum class Break { kNever, kBeforeCommit, kAfterCommit };

  explicit BreakingProxy(std::string server_socket) : server_socket_(std::move(server_socket)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0 || ::pipe2(wake_, O_CLOEXEC) != 0) {
      throw std::runtime_error("cannot listen");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this] { run(); });
  }
  ~BreakingProxy() {
    (void)!::write(wake_[1], "x", 1);
    thread_.join();
    ::close(listener_);
    ::close(wake_[0]);
    ::close(wake_[1]);
  }
  int port() const { return port_; }
  std::atomic<Break> next = Break::kNever;  // once
  std::atomic<int> broken = 0;

 private:
  struct Pair {
    int client = -1;
    int server = -1;
    bool cut_at_answer = false;
  };

  void run() {
    std::vector<Pair> pairs;
    for (;;) {
      std::vector<pollfd> polled = {{wake_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
      for (const Pair& pair : pairs) {
        polled.push_back({pair.client, POLLIN, 0});
        polled.push_back({pair.server, POLLIN, 0});
      }
      if (::poll(polled.data(), polled.size(), -1) < 0 || polled[0].revents != 0) break;
      for (std::size_t i = pairs.size(); i-- > 0;) {
        bool good = polled[2 + 2 * i].revents == 0 || to_server(pairs[i]);
        good = good && (polled[3 + 2 * i].revents == 0 || to_client(pairs[i]));
        if (!good) {
          close_pair(pairs[i]);
          pairs.erase(pairs.begin() + static_cast<std::ptrdiff_t>(i));
        }
      }
      if (polled[1].revents != 0) pairs.push_back(accept());
    }
    for (Pair& pair : pairs) close_pair(pair);
  }
  Pair accept() const {
    Pair pair;
    pair.client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    pair.server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    server_socket_.copy(address.sun_path, sizeof address.sun_path - 1);
    (void)::connect(pair.server, reinterpret_cast<sockaddr*>(&address), sizeof address);
    return pair;
  }
  static void close_pair(const Pair& pair) {
    ::close(pair.client);
    ::close(pair.server);
  }
  static bool pass(int from, int to, std::string& bytes) {
    bytes.resize(65536);
    const ssize_t size = ::read(from, bytes.data(), bytes.size());
    if (size <= 0) return false;
    bytes.resize(static_cast<std::size_t>(size));
    return to < 0 || ::send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL) == size;
  }
  bool to_server(Pair& pair) {
    std::string bytes;
    if (!pass(pair.client, -1, bytes)) return false;
    if (bytes.find(std::string_view("COMMIT\0", 7)) != std::string::npos) {  // not "READ COMMITTED"
      const Break how = next.exchange(Break::kNever);
      if (how != Break::kNever) ++broken;
      if (how == Break::kBeforeCommit) return false;
      pair.cut_at_answer = how == Break::kAfterCommit;
    }
    return ::send(pair.server, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  bool to_client(Pair& pair) {
    std::string bytes;
    return pass(pair.server, pair.cut_at_answer ? -1 : pair.client, bytes) && !pair.cut_at_answer;
  }

  const std::string server_socket_;
  int listener_ = -1;
  int wake_[2] = {-1, -1};
  int port_ = 0;
  std::jthread thread_;
};

class PostgresBehindProxy : public Postgres {
 protected:
  void SetUp() override {
    Postgres::SetUp();
    if (IsSkipped()) return;
    const auto host = settings_.url.find("?host=");
    proxy_.emplace(settings_.url.substr(host + 6) + "/.s.PGSQL.5432");
    const auto name = settings_.url.find("/test_") + 1;
    settings_.url = "postgresql://llm@127.0.0.1:" + std::to_string(proxy_->port()) + "/" +
                    settings_.url.substr(name, host - name) + "?sslmode=disable&gssencmode=disable";
    auto database = Database::open(settings_);
    ASSERT_TRUE(database) << database.error().message;
    database_ = std::move(*database);
  }
  std::size_t projects() {
    return database_->read([](Session& s) { return load_directory(s); })->projects.size();
  }

  std::optional<BreakingProxy> proxy_;
  std::unique_ptr<Database> database_;
};

TEST_F(PostgresBehindProxy, ACommitOfUnknownOutcomeIsSaidToBeOneAndNotRepeated) {
  ASSERT_TRUE(database_->write([](Session& s) { return insert(s, project("p")); }));
  const auto write_broken = [&](BreakingProxy::Break how, const std::string& id) {
    proxy_->next = how;
    int runs = 0;
    const auto done = database_->write([&](Session& s) {
      ++runs;
      return insert(s, project(id));
    });
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::kUnavailable);
    EXPECT_NE(done.error().message.find("not known"), std::string::npos) << done.error().message;
    EXPECT_EQ(done.error().details, (std::vector<ErrorDetail>{{"outcome", "unknown"}}));
    EXPECT_EQ(runs, 1);
  };
  write_broken(BreakingProxy::Break::kBeforeCommit, "lost");
  write_broken(BreakingProxy::Break::kAfterCommit, "kept");
  EXPECT_EQ(proxy_->broken, 2);
  EXPECT_FALSE(*database_->read([](Session& s) { return find_project(s, "lost"); }));
  EXPECT_TRUE(*database_->read([](Session& s) { return find_project(s, "kept"); }));
  EXPECT_EQ(projects(), 2U);
}

TEST_F(PostgresBehindProxy, AReadWhoseEndIsLostIsGoodAndAWriteOnADeadConnectionIsRepeated) {
  ASSERT_TRUE(database_->write([](Session& s) { return insert(s, project("p")); }));
  proxy_->next = BreakingProxy::Break::kAfterCommit;
  EXPECT_EQ(projects(), 1U);
  EXPECT_EQ(proxy_->broken, 1);
  // Idle connections that died meanwhile are noticed and replaced.
  server_->execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'llm'");
  EXPECT_TRUE(database_->write([](Session& s) { return insert(s, project("q")); }));
  server_->execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'llm'");
  EXPECT_EQ(projects(), 2U);
}

TEST_F(PostgresBehindProxy, UsageThatMayHaveArrivedIsCountedOnceWhenRepeated) {
  const std::vector<UsageRow> rows = {{.day = 1, .project = "p", .key = "k", .model = "m", .requests = 1}};
  for (const auto how : {BreakingProxy::Break::kBeforeCommit, BreakingProxy::Break::kAfterCommit}) {
    const std::string batch = how == BreakingProxy::Break::kBeforeCommit ? "a" : "b";
    const auto add = [&] { return database_->write([&](Session& s) { return add_usage(s, batch, rows); }); };
    proxy_->next = how;
    EXPECT_FALSE(add());
    EXPECT_TRUE(add());
  }
  const auto sums = database_->read([](Session& s) { return usage(s, {.from_day = 0, .to_day = 9}); });
  EXPECT_EQ(sums->at(0).requests, 2);
}

}  // namespace
}  // namespace llm::store
