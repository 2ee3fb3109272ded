#pragma once

#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <grp.h>
#include <libpq-fe.h>
#include <memory>
#include <pwd.h>
#include <signal.h>
#include <stdexcept>
#include <string>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "store/database.h"

// For tests of any layer: a PostgreSQL server of this test program's own, on a Unix socket in a temporary folder, as an
// unprivileged user. It ends with the program, however that ends.
//
//   auto* postgres = store::PostgresUnderTest::shared();
//   if (postgres == nullptr) GTEST_SKIP() << store::PostgresUnderTest::kMissing;
//   auto database = store::Database::open(postgres->new_database());
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
// SOCI forgets a connection that breaks while it is being set up.
extern "C" __attribute__((weak, used)) const char* __lsan_default_suppressions() {
  return "leak:libsoci_postgresql\n";
}
#endif
#endif

namespace llm::store {

class PostgresUnderTest {
 public:
  static constexpr const char* kMissing = "PostgreSQL is not installed (Debian: postgresql)";
  static constexpr const char* kUser = "llm";
  static constexpr const char* kPassword = "a pass'word\\with \"everything\"";

  // One for the program, started by the first call, which the main thread makes: the server ends with that thread. Null
  // if PostgreSQL is not installed; where the variable CI is set that is an error.
  static PostgresUnderTest* shared() {
    static const std::unique_ptr<PostgresUnderTest> server = [] {
      const auto programs = find_programs();
      if (programs.empty() && std::getenv("CI") != nullptr) throw std::runtime_error(kMissing);
      return programs.empty() ? nullptr : std::unique_ptr<PostgresUnderTest>(new PostgresUnderTest(programs));
    }();
    return server.get();
  }
  PostgresUnderTest(const PostgresUnderTest&) = delete;
  PostgresUnderTest& operator=(const PostgresUnderTest&) = delete;
  ~PostgresUnderTest() {
    stop();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  // An empty database that belongs to `kUser`, who needs the password.
  DatabaseSettings new_database() {
    const std::string name = "test_" + std::to_string(++databases_);
    execute("CREATE DATABASE " + name + " OWNER " + kUser);
    DatabaseSettings settings;
    settings.url = "postgresql://" + std::string(kUser) + "@/" + name + "?host=" + folder_.string();
    settings.password = kPassword;
    return settings;
  }

  // As the superuser. Returns the first column of the first row; throws with the server's words.
  std::string execute(const std::string& sql, const std::string& database = "postgres") {
    const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(superuser(database).c_str()), &PQfinish);
    const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(connection.get(), sql.c_str()), &PQclear);
    const auto status = PQresultStatus(result.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
      throw std::runtime_error(PQerrorMessage(connection.get()));
    }
    return status == PGRES_TUPLES_OK && PQntuples(result.get()) > 0 ? PQgetvalue(result.get(), 0, 0) : "";
  }

  // As `pg_ctl stop -m immediate` and `pg_ctl start`: connections break, nothing is written back, the log is replayed.
  void stop() {
    if (server_ <= 0) return;
    ::kill(server_, SIGQUIT);
    ::waitpid(server_, nullptr, 0);
    server_ = 0;
  }
  void start() {
    server_ = spawn({(programs_ / "postgres").string(), "-D", (folder_ / "data").string(), "-k", folder_.string(), "-c",
                     "listen_addresses=", "-c", "fsync=off", "-c", "deadlock_timeout=20ms", "-c", "max_connections=120",
                     "-c", "shared_buffers=32MB"});
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (PQping(superuser("postgres").c_str()) != PQPING_OK) {
      if (std::chrono::steady_clock::now() > until) throw std::runtime_error("PostgreSQL does not start: " + log());
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

 private:
  explicit PostgresUnderTest(std::filesystem::path programs) : programs_(std::move(programs)) {
    if (::geteuid() == 0) {  // PostgreSQL refuses to run as root
      const passwd* other = ::getpwnam("postgres");
      if (other == nullptr) other = ::getpwnam("nobody");
      if (other == nullptr) throw std::runtime_error("no user 'postgres' or 'nobody' to run PostgreSQL as");
      user_ = other->pw_uid;
      group_ = other->pw_gid;
    }
    // Short: a Unix socket's path has at most 107 bytes.
    std::string name = "/tmp/llm-pg-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
    folder_ = name;
    if (user_ != 0 && ::chown(name.c_str(), user_, group_) != 0)
      throw std::runtime_error("cannot give the folder away");
    int status = 0;
    ::waitpid(spawn({(programs_ / "initdb").string(), "-D", (folder_ / "data").string(), "-U", "postgres", "-A",
                     "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"}),
              &status, 0);
    if (status != 0) throw std::runtime_error("initdb failed: " + log());
    std::ofstream(folder_ / "data" / "pg_hba.conf") << "local all postgres trust\nlocal all all scram-sha-256\n";
    start();
    const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(superuser("postgres").c_str()),
                                                                  &PQfinish);
    char* quoted = PQescapeLiteral(connection.get(), kPassword, std::char_traits<char>::length(kPassword));
    execute(std::string("CREATE ROLE ") + kUser + " LOGIN PASSWORD " + quoted);
    PQfreemem(quoted);
  }

  static std::filesystem::path find_programs() {
    std::filesystem::path newest;
    int best = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored)) {
      const int version = std::atoi(entry.path().filename().c_str());
      if (version > best && std::filesystem::exists(entry.path() / "bin" / "initdb")) {
        best = version;
        newest = entry.path() / "bin";
      }
    }
    return newest;
  }

  std::string superuser(const std::string& database) const {
    return "user=postgres dbname=" + database + " connect_timeout=10 host=" + folder_.string();
  }

  std::string log() const {
    std::ifstream file(folder_ / "log");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  pid_t spawn(std::vector<std::string> words) const {
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const std::string log_file = folder_ / "log";
    const pid_t child = ::fork();
    if (child != 0) return child;
    const int out = ::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
    const int in = ::open("/dev/null", O_RDONLY);
    ::dup2(in, 0);
    ::dup2(out, 1);
    ::dup2(out, 2);
    for (int file = 3; file < 1024; ++file) ::close(file);  // pipes of the test must not stay open in the server
    if (user_ != 0 && (::setgroups(0, nullptr) != 0 || ::setgid(group_) != 0 || ::setuid(user_) != 0)) ::_exit(126);
    ::prctl(PR_SET_PDEATHSIG, SIGQUIT);  // after setuid, which clears it
    if (::chdir("/") != 0) ::_exit(126);
    ::umask(077);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }

  const std::filesystem::path programs_;
  std::filesystem::path folder_;
  uid_t user_ = 0;
  gid_t group_ = 0;
  pid_t server_ = 0;
  int databases_ = 0;
};

}  // namespace llm::store
