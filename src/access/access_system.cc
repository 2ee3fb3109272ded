#include "access/access_system.h"

#include <chrono>
#include <fmt/format.h>

#include "base/random.h"

namespace llm::access {
namespace {

constexpr std::chrono::milliseconds kStep{250};
constexpr int kStepsPerFlush = 4;
constexpr int kStepsPerTouch = 40;  // when keys were last used

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::filesystem::path or_default(const std::string& given, const EnvLookup& env, std::filesystem::path fallback) {
  return given.empty() ? std::move(fallback) : expand_home(given, env);
}

std::string database_url(const std::string& given, const EnvLookup& env, const std::filesystem::path& data_dir) {
  constexpr std::string_view kSqlite = "sqlite:";
  if (given.empty()) return std::string(kSqlite) + (data_dir / "llm-mcp.db").string();
  if (given.starts_with(kSqlite)) return std::string(kSqlite) + expand_home(given.substr(kSqlite.size()), env).string();
  return given;
}

store::DatabaseSettings database_settings(const DatabaseSection& section, const EnvLookup& env,
                                          const std::filesystem::path& data_dir) {
  return {.url = database_url(section.url, env, data_dir),
          .password = section.password,
          .connections = section.connections,
          .backups = data_dir / "backups"};
}

AuditSettings audit_settings(const AuditSection& section, const EnvLookup& env, const std::filesystem::path& data_dir) {
  return {.directory = or_default(section.directory, env, data_dir / "audit"),
          .rotate_bytes = section.rotate_size.bytes,
          .retention_days = section.retention_days};
}

}  // namespace

Result<json::object> verify_audit_trail(const AccessSettings& settings, const AccessPaths& paths,
                                        const EnvLookup& env) {
  auto database = store::Database::open(database_settings(settings.database, env, paths.data_dir));
  if (!database) return fail(std::move(database.error()));
  return verify_audit(audit_settings(settings.audit, env, paths.data_dir).directory, database->get());
}

Result<void> AccessSystem::open_database(const AccessSettings& settings, const AccessPaths& paths,
                                         const EnvLookup& env) {
  if (auto made = ensure_private_dir(paths.data_dir); !made) return made;
  auto database = store::Database::open(database_settings(settings.database, env, paths.data_dir));
  if (!database) return fail(std::move(database.error()));
  database_ = std::move(*database);
  auto audit = AuditLog::open(audit_settings(settings.audit, env, paths.data_dir), database_.get(),
                              [this](const Error& error) { report("audit", fail(error)); });
  if (!audit) return fail(std::move(audit.error()));
  audit_ = std::move(*audit);
  if (auto read = directory_.refresh(*database_); !read) return fail(std::move(read.error()));
  return {};
}

Result<std::unique_ptr<AccessSystem>> AccessSystem::open_for_admin(const AccessSettings& settings,
                                                                   const AccessPaths& paths, const EnvLookup& env,
                                                                   observe::Log& log) {
  std::unique_ptr<AccessSystem> system(new AccessSystem(log));
  if (auto opened = system->open_database(settings, paths, env); !opened) return fail(std::move(opened.error()));
  system->admin_ = std::make_unique<AccessAdmin>(*system->database_, &system->directory_, *system->audit_, now_ms);
  return system;
}

Result<std::unique_ptr<AccessSystem>> AccessSystem::open(const AccessSettings& settings, const AccessPaths& paths,
                                                         bool listens_beyond_loopback, const EnvLookup& env,
                                                         observe::Log& log) {
  if (auto sound = TokenVerifier::check(settings.issuers); !sound) return fail(std::move(sound.error()));
  auto opened = open_for_admin(settings, paths, env, log);
  if (!opened) return opened;
  AccessSystem& system = **opened;
  auto secret = MasterSecret::load(
      {.text = settings.secret,
       .file = settings.secret_file.empty() ? std::filesystem::path() : expand_home(settings.secret_file, env),
       .credentials = env("CREDENTIALS_DIRECTORY").value_or(""),
       .data_directory = paths.data_dir});
  if (!secret) return fail(std::move(secret.error()));
  system.secret_ = std::move(*secret);
  system.issuer_ = std::make_unique<TokenIssuer>(settings.tokens, *system.database_, *system.secret_, now_ms);
  if (auto ready = system.issuer_->refresh(); !ready) return fail(std::move(ready.error()));
  system.verifier_ =
      std::make_unique<TokenVerifier>(VerifierSettings{.issuers = settings.issuers}, system.issuer_.get(), log, now_ms);
  system.throttle_ = std::make_unique<LoginThrottle>(LoginThrottleSettings{
      .failures = settings.login.failures, .window_ms = settings.login.window.ms, .block_ms = settings.login.block.ms});
  system.authenticator_ =
      std::make_unique<Authenticator>(AuthenticatorSettings{.local_user = settings.local_user,
                                                            .listens_beyond_loopback = listens_beyond_loopback,
                                                            .certificates = settings.certificates},
                                      system.directory_, system.verifier_.get(), *system.throttle_, now_ms);
  system.limiter_ = std::make_unique<Limiter>(LimiterSettings{.defaults = settings.limits}, system.database_.get(),
                                              unique_id("gateway_"), now_ns);
  system.usage_ = std::make_unique<UsageBook>(system.database_.get(), settings.usage.durability, now_ms);
  system.blocking_ = std::make_unique<BlockingPool>(4);
  system.control_ = std::make_unique<AccessControl>(AccessControl{.directory = system.directory_,
                                                                  .authenticator = *system.authenticator_,
                                                                  .limiter = *system.limiter_,
                                                                  .usage = *system.usage_,
                                                                  .audit = *system.audit_,
                                                                  .admin = *system.admin_,
                                                                  .issuer = *system.issuer_,
                                                                  .blocking = *system.blocking_,
                                                                  .caps = settings.caps,
                                                                  .audit_requests = settings.audit.requests,
                                                                  .now_ms = now_ms,
                                                                  .throttle = system.throttle_.get()});
  return opened;
}

AccessSystem::~AccessSystem() {
  stop();
}

void AccessSystem::add_loop(Loop& loop, net::HttpClient& client) {
  verifier_->add_loop(loop, client);
}

void AccessSystem::start() {
  thread_ = std::thread([this] { keep_in_step(); });
}

void AccessSystem::keep_in_step() {
  std::unique_lock lock(mutex_);
  for (int count = 1; !stopping_; ++count) {
    wake_.wait_for(lock, kStep, [this] { return stopping_; });
    if (stopping_) break;
    lock.unlock();
    step(count);
    lock.lock();
  }
}

// One thing's trouble keeps no other from its work.
void AccessSystem::step(int count) {
  std::string_view what = "access";
  Result<void> worst;
  const auto note = [&](std::string_view part, Result<void> done) {
    if (done || !worst) return;
    what = part;
    worst = std::move(done);
  };
  const auto refreshed = directory_.refresh(*database_);
  note("access", refreshed ? Result<void>() : Result<void>(fail(refreshed.error())));
  note("access tokens", issuer_->refresh());
  note("limits", limiter_->maintain());
  if (count % kStepsPerFlush == 0) note("usage", usage_->flush());
  if (count % kStepsPerTouch == 0) note("access", directory_.save_last_used(*database_));
  report(what, worst);
}

// A problem is logged when it comes and when it goes, not each time it is met.
void AccessSystem::report(std::string_view what, const Result<void>& result) {
  const std::string problem = result ? std::string() : fmt::format("{}: {}", what, to_string(result.error()));
  {
    const std::lock_guard lock(mutex_);
    if (problem == problem_) return;
    problem_ = problem;
  }
  if (problem.empty()) {
    log_.info("the database of access control works again", {});
  } else {
    log_.error("the database of access control has a problem; what is known goes on working", {{"problem", problem}});
  }
}

void AccessSystem::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (!usage_) return;
  if (auto done = usage_->flush(); !done) report("usage", done);
  limiter_->release_all();
  if (auto done = directory_.save_last_used(*database_); !done) report("access", done);
  if (auto done = audit_->flush(); !done) report("audit", done);
}

Result<void> AccessSystem::readiness() const {
  if (auto written = audit_->readiness(); !written) return written;
  const std::lock_guard lock(mutex_);
  if (!problem_.empty()) return fail(ErrorCode::kUnavailable, problem_);
  return {};
}

}  // namespace llm::access
