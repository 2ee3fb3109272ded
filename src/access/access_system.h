#pragma once

#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "access/access_control.h"
#include "access/access_settings.h"
#include "access/secrets.h"
#include "base/paths.h"
#include "observe/log.h"

namespace llm::access {

struct AccessPaths {
  std::filesystem::path data_dir;  // the database, the master secret and the audit trail, unless the settings say else
};

// Everything of access control in one process, in the order in which it depends on each other, and the thread that
// keeps it in step with the database: what others changed is seen within 250 ms, usage is written once a second. The
// database going away later changes nothing for keys and tokens that are known.
class AccessSystem {
 public:
  // Opens and migrates the database, reads keys and signing keys. Blocks. Errors: those of the database and the secret,
  // an audit trail that was tampered with, settings that do not hold (pointers below /access).
  static Result<std::unique_ptr<AccessSystem>> open(const AccessSettings& settings, const AccessPaths& paths,
                                                    bool listens_beyond_loopback, const EnvLookup& env,
                                                    observe::Log& log);
  // Database and administration alone, for a command that changes keys while no gateway runs.
  static Result<std::unique_ptr<AccessSystem>> open_for_admin(const AccessSettings& settings, const AccessPaths& paths,
                                                              const EnvLookup& env, observe::Log& log);
  ~AccessSystem();  // stop()
  AccessSystem(const AccessSystem&) = delete;
  AccessSystem& operator=(const AccessSystem&) = delete;

  AccessControl& control() { return *control_; }  // not after open_for_admin
  AccessAdmin& admin() { return *admin_; }
  Directory& directory() { return directory_; }
  store::Database& database() { return *database_; }
  const MasterSecret& secret() const { return *secret_; }

  // Before the loops start: each that serves requests, with its client.
  void add_loop(Loop& loop, net::HttpClient& client);
  void start();
  // Writes what is left. After the last request. Idempotent.
  void stop();
  // Is the database in reach, and is everything written that should be? For health.
  Result<void> readiness() const;

 private:
  explicit AccessSystem(observe::Log& log) : log_(log) {}
  Result<void> open_database(const AccessSettings& settings, const AccessPaths& paths, const EnvLookup& env);
  void keep_in_step();
  void step(int count);
  void report(std::string_view what, const Result<void>& result);

  observe::Log& log_;
  std::unique_ptr<store::Database> database_;
  std::shared_ptr<const MasterSecret> secret_;
  Directory directory_;
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<LoginThrottle> throttle_;
  std::unique_ptr<TokenIssuer> issuer_;
  std::unique_ptr<TokenVerifier> verifier_;
  std::unique_ptr<Authenticator> authenticator_;
  std::unique_ptr<Limiter> limiter_;
  std::unique_ptr<UsageBook> usage_;
  std::unique_ptr<AccessAdmin> admin_;
  std::unique_ptr<BlockingPool> blocking_;
  std::unique_ptr<AccessControl> control_;

  mutable std::mutex mutex_;  // of what follows
  std::condition_variable wake_;
  bool stopping_ = false;
  std::string problem_;  // what went wrong last; empty: all is well
  std::thread thread_;
};

// verify_audit() of the trail that these settings write, against its database. Changes nothing; a gateway may run.
Result<json::object> verify_audit_trail(const AccessSettings& settings, const AccessPaths& paths, const EnvLookup& env);

}  // namespace llm::access
